"""Natsline: a small client of NATS' text protocol, for scripts that send many requests over one
connection. It needs the standard library only and has no thread: the caller polls for answers. A
broken connection is opened again; the caller resends the requests that were in flight.
"""
import os
import select
import socket
import time
import urllib.parse

from journey.patience import slower


class Connection:
    """One connection: `request` sends, `poll` returns the answers that have arrived since. Of
    several servers (URLs with commas) the first that can be reached is taken, and one that does not
    answer a ping, as a frozen one, is left for the next."""

    def __init__(self, url, name):
        parts = [urllib.parse.urlsplit(one if "//" in one else "nats://" + one)
                 for one in url.split(",")]
        self.addresses = [(part.hostname, part.port or 4222) for part in parts]
        self.name = name
        self.inbox = "_INBOX." + os.urandom(8).hex()
        self.socket = None
        self.buffer = b""
        self.retry_at = 0.0
        self.heard_at = self.pinged_at = 0.0

    def connect(self):
        """Connects when needed, four tries a second at most. True: connected."""
        if self.socket:
            return True
        if time.monotonic() < self.retry_at:
            return False
        self.retry_at = time.monotonic() + 0.25
        try:
            self.socket = socket.create_connection(self.addresses[0], timeout=slower(2))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = b""
            self.heard_at = self.pinged_at = time.monotonic()
            self.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,'
                       b'"no_responders":true,"lang":"python","version":"1","name":"%s"}\r\n'
                       b'SUB %s.* 1\r\nPING\r\n' % (self.name.encode(), self.inbox.encode()))
        except OSError:
            self.next_server()
        return self.socket is not None

    def next_server(self):
        self.close()
        self.addresses.append(self.addresses.pop(0))

    def leave_silent_server(self):
        """Where there is another server to go to: pings after a second without a word, and goes
        there when no answer comes within three."""
        now = time.monotonic()
        if len(self.addresses) == 1:
            return
        if self.pinged_at > self.heard_at:
            if now - self.pinged_at > slower(3):
                self.next_server()
        elif now - self.heard_at > 1:
            self.pinged_at = now
            self.write(b"PING\r\n")

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def write(self, data):
        """True: the data was handed to the kernel. A failure closes the connection."""
        if not self.socket:
            return False
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            self.close()
            return False

    def request(self, subject, body, token, headers=()):
        """Sends a request, whose answer `poll` returns with this token. False: not connected."""
        if not self.connect():
            return False
        lines = b"".join(b"%s: %s\r\n" % (key.encode(), value.encode()) for key, value in headers)
        head = b"NATS/1.0\r\n" + lines + b"\r\n"
        line = f"HPUB {subject} {self.inbox}.{token} {len(head)} {len(head) + len(body)}\r\n"
        return self.write(line.encode() + head + body + b"\r\n")

    def poll(self, timeout):
        """The answers that arrive within the timeout: a list of (token, headers as bytes, body)."""
        if not self.connect():
            time.sleep(min(timeout, 0.05))
            return []
        answers = self.parse()
        if answers or not self.socket:
            return answers
        if not select.select([self.socket], [], [], timeout)[0]:
            self.leave_silent_server()
            return []
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        self.buffer += data
        self.heard_at = time.monotonic()
        return self.parse()

    def parse(self):
        """Takes the complete messages out of the buffer."""
        answers, at = [], 0
        while (end := self.buffer.find(b"\r\n", at)) >= 0:
            words = self.buffer[at:end].split(b" ")
            verb = words[0].upper()
            if verb in (b"MSG", b"HMSG"):
                head, size = (int(words[-2]) if verb == b"HMSG" else 0), int(words[-1])
                if len(self.buffer) < end + 2 + size + 2:
                    break
                payload = self.buffer[end + 2:end + 2 + size]
                token = words[1].rsplit(b".", 1)[1].decode()
                answers.append((token, payload[:head], payload[head:]))
                end += size + 2
            elif verb == b"PING":
                self.write(b"PONG\r\n")
            at = end + 2
        self.buffer = self.buffer[at:]
        return answers

    def ask_all(self, requests, seconds):
        """Sends all requests, (subject, body, headers) each, at once, and returns the bodies of the
        answers in their order. TimeoutError names the first request without an answer."""
        answers, end = {}, time.monotonic() + seconds
        for i, (subject, body, headers) in enumerate(requests):
            while not self.request(subject, body, str(i), headers) and time.monotonic() < end:
                time.sleep(0.05)
        while len(answers) < len(requests) and time.monotonic() < end:
            answers.update({token: body for token, _, body in self.poll(0.1)})
        for i, (subject, _, _) in enumerate(requests):
            if not answers.get(str(i)):
                raise TimeoutError(f"{subject} was not answered within {seconds} s")
        return [answers[str(i)] for i in range(len(requests))]
