"""Natsline: a small client for NATS' plain text protocol, for scripts that must send many requests over
one connection. Standard library only, one thread: the caller asks for what has come in. A connection
that breaks is made anew; what was under way then is the caller's to send again.
"""
import os
import select
import socket
import time
import urllib.parse


class Connection:
    """requests go out by `request`; `poll` returns the answers that have come since."""

    def __init__(self, url, name):
        address = urllib.parse.urlsplit(url if "//" in url else "nats://" + url)
        self.address = (address.hostname, address.port or 4222)
        self.name = name
        self.inbox = "_INBOX." + os.urandom(8).hex()
        self.socket = None
        self.buffer = b""
        self.retry_at = 0.0

    def connect(self):
        """Connected afterwards? While the server is away it tries four times a second."""
        if self.socket:
            return True
        if time.monotonic() < self.retry_at:
            return False
        self.retry_at = time.monotonic() + 0.25
        try:
            self.socket = socket.create_connection(self.address, timeout=2)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.buffer = b""
            self.write(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,'
                       b'"lang":"python","version":"1","name":"%s"}\r\nSUB %s.* 1\r\nPING\r\n'
                       % (self.name.encode(), self.inbox.encode()))
        except OSError:
            self.close()
        return self.socket is not None

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def write(self, data):
        """True when the data is on its way. A write that breaks the connection closes it."""
        if not self.socket:
            return False
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            self.close()
            return False

    def request(self, subject, body, token, headers=()):
        """Sends a request whose answer `poll` returns with this token. False: there is no connection."""
        if not self.connect():
            return False
        head = b"NATS/1.0\r\n" + b"".join(b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in headers) + b"\r\n"
        line = f"HPUB {subject} {self.inbox}.{token} {len(head)} {len(head) + len(body)}\r\n"
        return self.write(line.encode() + head + body + b"\r\n")

    def poll(self, timeout):
        """A list of (token, headers as bytes, body) that came within the timeout; empty when nothing did."""
        if not self.connect():
            time.sleep(min(timeout, 0.05))
            return []
        answers = self.parse()
        if answers or not self.socket or not select.select([self.socket], [], [], timeout)[0]:
            return answers
        try:
            data = self.socket.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.close()
            return []
        self.buffer += data
        return self.parse()

    def parse(self):
        """Takes the complete messages off the buffer."""
        answers, at = [], 0
        while (end := self.buffer.find(b"\r\n", at)) >= 0:
            words = self.buffer[at:end].split(b" ")
            verb = words[0].upper()
            if verb in (b"MSG", b"HMSG"):
                head, size = (int(words[-2]) if verb == b"HMSG" else 0), int(words[-1])
                if len(self.buffer) < end + 2 + size + 2:
                    break
                payload = self.buffer[end + 2:end + 2 + size]
                answers.append((words[1].rsplit(b".", 1)[1].decode(), payload[:head], payload[head:]))
                end += size + 2
            elif verb == b"PING":
                self.write(b"PONG\r\n")
            at = end + 2
        self.buffer = self.buffer[at:]
        return answers

    def ask_all(self, requests, seconds):
        """The bodies of the answers to (subject, body, headers), all under way at once, in their order. TimeoutError
        names the first that has none when the time is over."""
        answers, end = {}, time.monotonic() + seconds
        for i, (subject, body, headers) in enumerate(requests):
            while not self.request(subject, body, str(i), headers) and time.monotonic() < end:
                time.sleep(0.05)
        while len(answers) < len(requests) and time.monotonic() < end:
            answers.update({token: body for token, _, body in self.poll(0.1)})
        for i, (subject, _, _) in enumerate(requests):
            if not answers.get(str(i)):
                raise TimeoutError(f"nobody answers {subject}")
        return [answers[str(i)] for i in range(len(requests))]
