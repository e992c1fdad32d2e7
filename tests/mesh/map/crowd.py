"""Crowd: services that are none. They answer $SRV.PING and $SRV.STATS as real ones do, some with
texts that a page must not take for markup."""
import json
import socket
import threading

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"


class Crowd(threading.Thread):
    def __init__(self, url, count):
        super().__init__(daemon=True)
        host, port = url.removeprefix("nats://").split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.names = [f"crowd-{number:03}" for number in range(count)]
        self.requests, self.ended = 0, False
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n'
                            b"SUB $SRV.PING 1\r\nSUB $SRV.STATS 2\r\nPING\r\n")

    def identity(self, number, name):
        return {"name": name, "id": f"ID{number:06}", "version": "1.0.0", "metadata": {
            "log": name.upper(), "prefix": name, "host": MARKUP, "pid": str(number)}}

    def statistics(self, number, name):
        source = self.names[number - 1].upper()
        data = {"state": "ready", "role": "leading", "relay": "publishing", "term": 1,
                "position": self.requests, "published": self.requests, "outbox": 0, "queue": 0,
                "readers_queue": 0, "wal_bytes": 4096, "parked": 0, "reason": MARKUP,
                "durations": [self.requests, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                "notices": [], "sources": {source: {
                    "cursor": self.requests, "lag": 0, "state": "pulling", "age_ms": 5}}}
        endpoints = [{"name": f"do-{i}", "subject": f"{name}.do-{i}", "queue_group": "q",
                      "num_requests": self.requests, "num_errors": 0, "last_error": "",
                      "processing_time": 1, "average_processing_time": 1} for i in range(20)]
        endpoints[0]["data"] = data
        return {**self.identity(number, name), "endpoints": endpoints}

    def answer(self, kind, reply):
        make = self.identity if kind == "1" else self.statistics
        self.requests += kind == "2"
        out = b""
        for number, name in enumerate(self.names):
            body = json.dumps(make(number, name)).encode()
            out += b"PUB %s %d\r\n%s\r\n" % (reply.encode(), len(body), body)
        self.socket.sendall(out)

    def run(self):
        try:
            self.serve()
        except OSError:
            if not self.ended:
                raise

    def serve(self):
        with self.socket.makefile("rb") as lines:
            for line in lines:
                words = line.decode().split()
                if words[:1] == ["PING"]:
                    self.socket.sendall(b"PONG\r\n")
                elif words[:1] == ["MSG"]:
                    lines.read(int(words[-1]) + 2)
                    if len(words) == 5:
                        self.answer(words[2], words[3])

    def close(self):
        self.ended = True
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
