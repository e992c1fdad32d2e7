"""Retrying: requests that are sent again, each under its idempotency key, until they are answered;
so services and servers may be killed meanwhile."""
import datetime
import json
import sys
import time

RETRY_S = 1.0                 # after that time without an answer a request is sent again
BUSY_S = 0.05                 # likewise, after one of these refusals, which are transient
NOT_NOW = {"busy", "replaying", "internal", "unconfirmed"}


def timestamp():
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Request:
    def __init__(self, key, subject, body, done):
        self.key, self.subject, self.body, self.done = key, subject, body, done
        self.sent_at, self.tries, self.due = timestamp(), 0, 0.0


class Driver:
    """Sends requests, and retries each until it is answered."""

    def __init__(self, connection, history):
        self.connection, self.history = connection, history
        self.pending, self.count = {}, 0

    def send(self, key, subject, body, done=lambda answer: None):
        self.count += 1
        self.pending[str(self.count)] = Request(key, subject, body, done)
        self.push(str(self.count))

    def push(self, token):
        request = self.pending[token]
        request.due = time.monotonic() + RETRY_S
        headers = [("Idempotency-Key", request.key)]
        body = json.dumps(request.body).encode()
        if self.connection.request(request.subject, body, token, headers):
            request.tries += 1

    def settle(self, request, answer):
        if self.history:
            self.history.write(json.dumps({
                "key": request.key, "subject": request.subject, "body": request.body,
                "sent_at": request.sent_at, "answered_at": timestamp() if answer else None,
                "tries": request.tries, "answer": answer}) + "\n")
        request.done(answer)

    def take(self, token, head, body):
        request = self.pending.get(token)
        if request is None:
            return                    # a late answer to an earlier try; another one was taken
        answer = json.loads(body) if body else None     # no body: the server's "503 no responders"
        if answer is None or answer.get("error", {}).get("code") in NOT_NOW:
            request.due = min(request.due, time.monotonic() + BUSY_S)
            return
        del self.pending[token]
        self.settle(request, answer)

    def step(self, timeout=0.005):
        for token, head, body in self.connection.poll(timeout):
            self.take(token, head, body)
        now = time.monotonic()
        for token in [t for t, request in self.pending.items() if request.due <= now]:
            self.push(token)

    def finish(self, seconds):
        """Waits for the missing answers. A request that gets none is recorded with null."""
        end = time.monotonic() + seconds
        while self.pending and time.monotonic() < end:
            self.step()
        unanswered = list(self.pending.values())
        for request in unanswered:
            self.settle(request, None)
        self.pending.clear()
        return len(unanswered)


if __name__ == "__main__":
    sys.exit("retrying.py is a part of scripts/load and scripts/compare")
