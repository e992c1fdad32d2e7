"""Peers: the systems that scripts/compare --peers measures beside the mesh, each with the interface
of bench's mesh, so that the same load and the same observation serve all of them."""
import base64
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

from journey import ROOT
from journey.bench_mesh import SERVICES, Mesh
from journey.compare_ways import PERSON, STOCK, CompareError, Way
from journey.natsline import Connection
from journey.patience import far

CUSTOMERS, PRODUCTS = 10000, 1000      # as bench_fill's crowd
FILLED_S = 120                         # the limit until a system is filled and idle
PROGRAMS = ROOT / ".tools/peers"
ACCOUNT = "account-svc"


def find_programs():
    """Builds the peers where they are not built; nothing is built where the environment names a
    build folder."""
    if "JOURNEY_BUILD_DIR" not in os.environ:
        subprocess.run([str(ROOT / "scripts/setup"), "--peers"], check=True,
                       stdin=subprocess.DEVNULL)
    if not (PROGRAMS / ".installed").exists():
        raise CompareError("the peers in Go are not built; run scripts/setup --peers")


def go_version():
    return "Go " + (PROGRAMS / "go.version").read_text(encoding="utf-8").strip()


class System(Mesh):
    """The mesh, and what a run needs of each system. Use it in a `with`."""
    title, lag = "Journey Mesh", None

    def __init__(self, setup, name, **how):
        super().__init__(setup, name, is_crowded=True, **how)
        self.base = {}                     # bytes by process before the first order

    def __enter__(self):
        super().__enter__()
        try:
            self.await_idle()
            self.end(SERVICES)             # so the files are checkpointed, and a start is measured
            self.base, self.orders_before = self.bytes_stored(), self.orders()
            for service in SERVICES:
                self.start(service)
            self.await_idle()
        except BaseException:
            self.close()
            raise
        return self

    def await_idle(self):
        self.progress.begin("until nothing is left to do")
        self.wait(FILLED_S, "nothing is left to do", self.is_through)

    # ---- Processes

    def stop(self, name, number=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(far(30))

    def start_server_again(self):
        """The same server, at the same address, on the files that are there."""
        self.spawn("server", [self.server_program, "-c", str(self.folder / "nats.conf")])
        end = time.monotonic() + far(20)
        while self.varz() is None:
            if time.monotonic() > end:
                raise CompareError(f"the server does not come back; see {self.folder}/server.log")
            time.sleep(0.02)
        self.line.close()
        self.line = Connection(self.url, "compare")

    def revive(self):
        """Starts the services that have ended, as a supervisor would; how many."""
        ended = [name for name in SERVICES
                 if name in self.processes and self.processes[name].poll() is not None]
        for name in ended:
            self.start(name)
        return len(ended)

    # ---- Observation

    def orders(self):
        return self.rows("order-svc", "SELECT count(*) FROM orders")[0][0]

    def is_out(self):
        """Whether all orders are paid, and all events in the stream."""
        return self.open_orders() == 0 and self.is_published()

    def bytes_stored(self):
        return {name: self.bytes_of(name) for name in ("server", *SERVICES)}

    def words(self, name):
        return (self.folder / "requests" / name).read_text(encoding="utf-8").split("\n")

    def purchases(self):
        """The orders that the other service knows: {order: whether it is paid}."""
        return {order: status == "paid" for order, status in
                self.rows(ACCOUNT, "SELECT order_id, status FROM purchases")}

    def order_ids(self):
        return {row[0] for row in self.rows("order-svc", "SELECT order_id FROM orders")}

    def stream_events(self):
        """The events of orders in the stream: a set of (type, order)."""
        info, end = None, time.monotonic() + far(30)
        while not info and time.monotonic() < end:             # JetStream may be starting
            info = self.ask("$JS.API.STREAM.INFO.ORDER", {})
        state = (info or {}).get("state", {})      # none: there is no such stream
        found, first = set(), state.get("first_seq", 1)
        for begin in range(max(1, first), state.get("last_seq", 0) + 1, 500):
            numbers = range(begin, min(begin + 500, state["last_seq"] + 1))
            answers = self.line.ask_all(
                [("$JS.API.STREAM.MSG.GET.ORDER", json.dumps({"seq": n}).encode(), ())
                 for n in numbers], far(30))
            found |= set(filter(None, map(event_of, answers)))
        return found


def event_of(answer):
    """(type, order) of a message, where it is an event of an order."""
    message = json.loads(answer).get("message")
    kind = message and message["subject"].rsplit(".", 1)[1]
    if kind not in ("OrderPlaced", "OrderPaid"):
        return None
    return kind, json.loads(base64.b64decode(message["data"]))["order_id"]


class Peer(System):
    """A peer: the same subjects and the same business, in programs of compare/peers."""
    lag = "-"                              # account.get waits for the order, see bench/load.c

    def __init__(self, setup, name, kind, outbox):
        super().__init__(setup, name)
        self.way = Way(self.title, {"order-svc": f"{kind}/order", ACCOUNT: f"{kind}/account"},
                       "order.place", 2, ACCOUNT, False)
        self.build, self.outbox = PROGRAMS, outbox

    def open(self):
        self.processes = {}
        (self.folder / "requests").mkdir(parents=True)
        self.start_server()
        self.line = Connection(self.url, "peers")
        for service in SERVICES:
            self.start(service)
            self.await_service(service)
        self.fill()
        for name, text in self.shop_requests().items():
            (self.folder / "requests" / name).write_text(text, encoding="utf-8", newline="")

    def await_service(self, name):
        self.wait(20, f"{name} answers", lambda: self.ask(f"$SRV.PING.{name}", "") is not None)

    def customers(self):
        return [f"acc_{i:036d}" for i in range(CUSTOMERS)]

    def products(self):
        return [f"bench-{i:05d}" for i in range(PRODUCTS)]

    def fill(self):
        """Customers with a card each and products, as the account service's events had told of
        them."""
        person = [PERSON[key] for key in ("name", "street", "city", "postal_code", "country")]
        path = self.folder / "order-svc" / "order-svc.db"
        with contextlib.closing(sqlite3.connect(path, timeout=far(20))) as database, database:
            database.executemany("INSERT INTO products VALUES (?, 'Green tea', 450, 'EUR', ?, 0)",
                                 [(sku, STOCK) for sku in self.products()])
            database.executemany("INSERT INTO customers VALUES (?, 1, ?, ?, ?, ?, ?)",
                                 [(account, *person) for account in self.customers()])
            database.executemany("INSERT INTO customer_cards VALUES (?, ?, 1, '2099-12', 'tok_ok')",
                                 [(account, account.replace("acc", "crd"))
                                  for account in self.customers()])

    # ---- Observation

    def open_orders(self):
        return self.rows("order-svc", "SELECT count(*) FROM orders WHERE status = 'placed'")[0][0]

    def events(self):
        """The events that the outbox ever had."""
        found = self.rows("order-svc", "SELECT seq FROM sqlite_sequence WHERE name = ?",
                          self.outbox)
        return found[0][0] if found else 0

    def is_published(self):
        self.progress.tick()
        found = self.ask("$JS.API.STREAM.INFO.ORDER", {}) or {}
        return found.get("state", {}).get("last_seq", -1) == self.events()

    def is_through(self):
        if not self.is_out():
            return False
        found = self.ask("$JS.API.CONSUMER.LIST.ORDER", {}) or {}
        read = [one["ack_floor"]["stream_seq"] for one in found.get("consumers", [])]
        return len(read) == 1 and read[0] == self.events()

    def left(self):
        return {"to_pay": self.open_orders()}


class Watermill(Peer):
    title = "Go with Watermill"

    def __init__(self, setup, name):
        super().__init__(setup, name, "watermill", "watermill_outbox")


class ByHand(Peer):
    title = "Go by hand"

    def __init__(self, setup, name):
        super().__init__(setup, name, "byhand", "outbox")


SYSTEMS = {"mesh": System, "byhand": ByHand, "watermill": Watermill}


if __name__ == "__main__":
    sys.exit(f"peers.py is a part of {ROOT}/scripts/compare")
