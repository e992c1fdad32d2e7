#!/usr/bin/env python3
"""reader.py DATABASE [URL] - keep in an SQLite file how each order of a mesh stands

A reader in the sense of docs/PROTOCOL.md, which the comments cite (R4: rule 4 of a reader). It
reads order-svc's events through a durable consumer of the stream ORDER, and folds them into the
table `orders`. It may be killed at any moment, and started again. NATS_URL or URL says where the
server is. Needs Python 3.8 and nats-py.
"""
import asyncio
import json
import os
import sqlite3
import sys

import nats
import nats.errors

from events import (BEGINNING, Cursor, Leader, Stranger, chain_after, decode, fit, moved)

LEADER = Leader(log="ORDER", service="order-svc", prefix="order")
NAME = "orders-python"                          # of this reader: its durable
STATUS = {"PaymentFailed": "payment_failed", "OrderPaid": "paid", "OrderShipped": "shipped",
          "OrderCancelled": "cancelled"}


class NotNow(Exception):
    """It does not go on at the moment: what was begun is rolled back, and tried again."""


class Reader:
    def __init__(self, path, nc):
        self.nc, self.js = nc, nc.jetstream()
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS cursor (log TEXT PRIMARY KEY, position, chain, term);"
            "CREATE TABLE IF NOT EXISTS orders"
            " (order_id TEXT PRIMARY KEY, account_id, status, amount, refunded);")

    def cursor(self):
        row = self.db.execute("SELECT position, chain, term FROM cursor WHERE log = ?",
                              (LEADER.log,)).fetchone()
        return Cursor(*row) if row else BEGINNING

    def apply(self, event):
        """The projection: what this reader wants to know. All other events only move the cursor."""
        kind, data = event["type"], json.loads(event["data"])
        if kind == "OrderPlaced":
            self.db.execute("INSERT INTO orders VALUES (?, ?, 'placed', ?, 0)", (
                data["order_id"], data["account_id"], data["total"]["amount"]))
        elif kind in STATUS:
            self.db.execute("UPDATE orders SET status = ? WHERE order_id = ?",
                            (STATUS[kind], data["order_id"]))
        elif kind == "OrderRefunded":                           # of a paid order all: cancelled
            self.db.execute(
                "UPDATE orders SET refunded = ?1, status = iif(status = 'paid' AND ?1 = amount,"
                " 'cancelled', status) WHERE order_id = ?2",
                (data["refunded"]["amount"], data["order_id"]))

    async def ask(self, request, **body):
        """Asks the leader; a refusal, or nobody who answers, is for later."""
        subject = f"{LEADER.prefix}.{request}"
        reply = await self.nc.request(subject, json.dumps(body).encode(), timeout=5)
        answer = json.loads(reply.data)
        if "error" in answer:
            raise NotNow(f"{subject}: {answer['error']}")
        return answer

    async def fill(self, cursor, until):
        """R7: what the stream has lost comes from the leader's log, up to there and no further."""
        while cursor.position < until:
            page = await self.ask("events", after_position=cursor.position,
                                  limit=min(until - cursor.position, 500))
            if not page["events"]:
                break
            for row in page["events"]:
                event = dict(row, log=LEADER.log)
                if chain_after(cursor.chain, event) != event["chain"]:
                    raise NotNow("what the leader sends does not follow")
                self.apply(event)
                cursor = moved(cursor, event)
            print(f"filled from {LEADER.prefix}.events up to {cursor.position}", flush=True)
        return cursor

    async def compare(self, cursor):
        """R8: the leader's log is the judge. Has it our cursor?"""
        page = await self.ask("events", after_position=max(cursor.position - 1, 0), limit=1)
        if cursor.position and [e["chain"] for e in page["events"]] != [cursor.chain]:
            raise NotNow(f"forked: the leader's log has not what we have read at {cursor.position}")

    async def take(self, messages):
        """R2, R4: what a batch says, and how far we have read, become true in one transaction."""
        cursor, strange = self.cursor(), False
        for message in messages:
            try:
                event = decode(LEADER, message.subject, (message.headers or {}).items(),
                               message.data.decode())
            except (Stranger, UnicodeDecodeError):
                continue                                        # M7
            what = fit(cursor, event)
            if what == "gap":
                cursor = await self.fill(cursor, event["position"] - 1)
                what = fit(cursor, event)
            if what == "applied":
                self.apply(event)
                cursor = moved(cursor, event)
            strange |= what in ("void", "does_not_follow", "gap")
        if strange:
            await self.compare(cursor)
        if cursor.position:
            self.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)",
                            (LEADER.log, *cursor))

    async def fetch(self, pull):
        try:
            return await pull.fetch(500, timeout=1)
        except asyncio.TimeoutError:
            return []

    async def follow(self):
        """R1, R9: has its durable made at the cursor, and reads until that seems to be wrong."""
        await self.ask(f"durable.{NAME}.make", start_sequence=self.cursor().position + 1)
        pull = await self.js.pull_subscribe_bind(durable=NAME, stream=LEADER.log)
        try:
            while True:
                messages = await self.fetch(pull)
                if not messages:                        # silence: is there nothing?
                    page = await self.ask("events", after_position=self.cursor().position, limit=1)
                    if page["last_position"] != self.cursor().position:
                        return
                    continue
                self.db.execute("BEGIN IMMEDIATE")
                try:
                    await self.take(messages)
                    self.db.execute("COMMIT")
                except BaseException:
                    self.db.execute("ROLLBACK")
                    raise
                await messages[-1].ack()                # R4: after the commit, of all before, too
        finally:
            await pull.unsubscribe()


async def main():
    url = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("NATS_URL", "nats://127.0.0.1:4222")
    nc = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2)
    reader = Reader(sys.argv[1], nc)
    print(f"begins at {reader.cursor().position}", flush=True)
    while True:
        try:
            await reader.follow()
        except (NotNow, nats.errors.Error, asyncio.TimeoutError) as error:
            print(f"waits: {error!r}", flush=True)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main())
