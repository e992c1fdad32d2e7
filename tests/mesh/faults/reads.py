"""Reads: threads that check the mesh during a fault. A missing answer is no failure.

    with Reads(mesh, account), Watch(mesh):
        …                              # the fault
"""
import base64
import json
import os
import re
import sqlite3
import threading
import time

from kit import LOG, SERVICES, address_of, require, slower, wait_until
from journey.headers import chain_of                  # kit has put scripts/lib on the path

ANSWER_S = 0.5


class Looker:
    """A thread with its own connection that calls `look` until the block ends, and then reports
    what was wrong."""

    def __init__(self, mesh, name):
        self.mesh, self.connection, self.wrong = mesh, mesh.client(name), []
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, failure, *_):
        if failure is None:            # the fault may have delayed the looks
            wait_until(lambda: self.has_seen_enough() or not self.thread.is_alive(), self.how_much,
                       10)
        self.ends.set()
        self.thread.join()
        self.connection.close()
        if failure is None:
            require(not self.wrong, f"{self.wrong[:3]}")
            require(self.has_seen_enough(), "the thread that checks during the fault has died")

    def run(self):
        while not self.ends.is_set():
            self.look()
            self.ends.wait(0.02)

    def ask(self, subject, body, key=None):
        """The answer; {} without an answer, or for an error."""
        token, end = os.urandom(4).hex(), time.monotonic() + slower(ANSWER_S)
        data = b"" if body is None else json.dumps(body).encode()
        self.connection.request(subject, data, token, [("Idempotency-Key", key)] if key else [])
        while (left := end - time.monotonic()) > 0 and not self.ends.is_set():
            if not self.connection.socket:      # it has broken, and the request with it
                return {}
            for found, _, data in self.connection.poll(min(left, 0.05)):
                if found == token:
                    answer = json.loads(data) if data else {}
                    return {} if "error" in answer else answer
        return {}


class Reads(Looker):
    """A client's reads never go back, and it reads its own writes when it asks for their position
    (I10)."""

    def __init__(self, mesh, account):
        super().__init__(mesh, "reads")
        self.account = account
        self.newest, self.answered, self.own = {}, 0, 0      # newest: (subject, log) -> position

    def has_seen_enough(self):
        return self.answered > 20 and self.own > 0

    def how_much(self):
        return f"reads are answered: {self.answered}, own writes: {self.own}"

    def read(self, subject, body, least=()):
        """One query: its answer must not be older than an earlier answer, nor than `least`."""
        as_of = self.ask(subject, body).get("as_of", {})
        seen = {log: place["position"] for log, place in as_of.items()}
        self.answered += bool(seen)
        for log, position in seen.items():
            if position < self.newest.get((subject, log), 0):
                self.wrong.append(
                    f"{subject} went back in {log} from {self.newest[subject, log]} to {position}")
            self.newest[subject, log] = position
        for log, position in dict(least).items() if seen else ():
            if seen[log] < position:
                self.wrong.append(
                    f"{subject} was asked for {log} {position}, and answered as of {seen[log]}")

    def look(self):
        for _ in range(5):
            self.read("order.products", {"limit": 1})
            self.read("account.get", {"account_id": self.account})
        body = {"account_id": self.account, "address": address_of("7 Market Street")}
        answer = self.ask("account.change-address", body, "reads-" + os.urandom(6).hex())
        if "position" in answer:
            self.own += 1
            least = {"ACCOUNT": answer["position"]}
            self.read("account.get", {"account_id": self.account, "min_position": least}, least)
            self.read("order.products", {"limit": 1, "min_position": least}, least)


class Watch(Looker):
    """At all times the end of a stream is committed in its owner's log, with the same chain (I6,
    I7)."""

    def __init__(self, mesh):
        super().__init__(mesh, "watch")
        self.compared = 0

    def has_seen_enough(self):
        return self.compared > 10

    def how_much(self):
        return f"the end of the streams can be compared: {self.compared} times"

    def newest(self, name):
        """(position, chain) of the stream's last message, or None."""
        info = self.ask(f"$JS.API.STREAM.INFO.{LOG[name]}", None)
        last, message = info.get("state", {}).get("last_seq", 0), None
        if last:
            get = f"$JS.API.STREAM.MSG.GET.{LOG[name]}"
            message = self.ask(get, {"seq": last}).get("message")
        head = base64.b64decode(message.get("hdrs", "")).decode() if message else ""
        found = (re.search(r"^Journey-Position: *(\d+)\r$", head, re.M),
                 re.search(r"^Journey-Chain: *([\w-]+)\r$", head, re.M))
        return (int(found[0][1]), chain_of({"journey-chain": found[1][1]})) if all(found) else None

    def look(self):
        for name in SERVICES:
            newest = self.newest(name)
            if newest is None:
                continue
            try:
                rows = self.mesh.query(
                    name, "SELECT lower(hex(chain)) FROM event_log WHERE position = ?", newest[0])
            except sqlite3.OperationalError:
                continue               # the service is starting
            self.compared += 1
            if rows != [(newest[1],)]:
                self.wrong.append(f"{LOG[name]} {newest[0]} is in the stream with chain "
                                  f"{newest[1]}, in the log: {rows}")
