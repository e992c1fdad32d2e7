"""Reads: a client that asks all the time what it sees, beside a fault (I10). What it sees never goes back, and it sees its own
writes when it asks for their position; that it gets no answer, or is told to try again, is no fault.

    with Reads(mesh, account):
        …                              # the fault
"""
import json
import os
import threading
import time

from kit import require

ANSWER_S = 1.0


class Reads:
    def __init__(self, mesh, account):
        self.connection, self.account = mesh.client("reads"), account
        self.newest, self.wrong = {}, []           # (subject, log) -> position
        self.answered, self.own = 0, 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, failure, *_):
        self.ends.set()
        self.thread.join()
        self.connection.close()
        if failure is None:
            require(not self.wrong, f"{self.wrong[:3]}")
            require(self.answered > 20 and self.own > 0, f"only {self.answered} reads and {self.own} own writes were answered")

    def ask(self, subject, body, key=None):
        """The answer; {} when none came or it is an error."""
        token, end = os.urandom(4).hex(), time.monotonic() + ANSWER_S
        self.connection.request(subject, json.dumps(body).encode(), token, [("Idempotency-Key", key)] if key else [])
        while (left := end - time.monotonic()) > 0 and not self.ends.is_set():
            for found, _, data in self.connection.poll(min(left, 0.05)):
                if found == token:
                    answer = json.loads(data) if data else {}
                    return {} if "error" in answer else answer
        return {}

    def look(self, subject, body, least=()):
        """One question: not older than what was seen before, nor than `least`."""
        seen = {log: place["position"] for log, place in self.ask(subject, body).get("as_of", {}).items()}
        self.answered += bool(seen)
        for log, position in seen.items():
            if position < self.newest.get((subject, log), 0):
                self.wrong.append(f"{subject} went back in {log} from {self.newest[subject, log]} to {position}")
            self.newest[subject, log] = position
        for log, position in dict(least).items() if seen else ():
            if seen[log] < position:
                self.wrong.append(f"{subject} was asked for {log} {position}, and answered as of {seen[log]}")

    def run(self):
        while not self.ends.is_set():
            for _ in range(5):
                self.look("order.products", {"limit": 1})
                self.look("account.get", {"account_id": self.account})
            address = {"street": "7 Market Street", "city": "Bremen", "postal_code": "28195", "country": "DE"}
            answer = self.ask("account.change-address", {"account_id": self.account, "address": address}, "reads-" + os.urandom(6).hex())
            if "position" in answer:
                self.own += 1
                least = {"ACCOUNT": answer["position"]}
                self.look("account.get", {"account_id": self.account, "min_position": least}, least)
                self.look("order.products", {"limit": 1, "min_position": least}, least)
            self.ends.wait(0.02)
