"""Compare's ways: the architectures that scripts/compare measures, and one running shop of each.

A way is a list of programs. A shop is a NATS server and these programs in their own folder, with
customers and products. All processes of a shop end with the shop, and with the process that made
it, however that process ends.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

from journey import ROOT
from journey.natsline import Connection
from journey.patience import far, slower

CUSTOMERS, PRODUCTS, STOCK = 50, 10, 10**9
STOP_S = 5                             # then a process is killed
# Refusals until a projection has caught up.
NOT_YET = {"busy", "replaying", "internal", "unconfirmed", "unknown_account", "no_valid_card"}
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
PERSON = {
    "name": "Customer", "street": "1 Market Street", "city": "Bremen", "postal_code": "28195",
    "country": "DE"
}


class Way:
    def __init__(self, title, programs, subject, hops, account_side, is_entities):
        self.title, self.programs, self.subject, self.hops = title, programs, subject, hops
        self.account_side, self.is_entities = account_side, is_entities


def entities(way, more):
    names = ("user", "product", "inventory", "payment", "order")
    return {**{f"{name}-svc": f"compare/{way}-{name}" for name in names}, **more}


# The hops are the messages that follow one another between the customer's request and the answer,
# both included.
WAYS = {
    "orchestrated": Way("entity services, orchestrated",
                        entities("orchestrated",
                                 {"gateway": "compare/orchestrated-gateway"}), "order.place", 10,
                        "user-svc", True), "choreographed": Way("entity services, choreographed",
                                                                entities("choreographed", {}),
                                                                "user.get", 6, "user-svc", True),
    "synchronous": Way(
        "journey services, synchronous",
        {"account-svc": "compare/synchronous-account", "order-svc": "compare/synchronous-order"},
        "order.place", 4, "account-svc", False),
    "pushed": Way("journey services, pushed projections",
                  {"account-svc": "compare/pushed-account", "order-svc": "compare/pushed-order"},
                  "order.place", 2, "account-svc", False),
    "journeys": Way("journey services, projections by streams",
                    {"account-svc": "account-svc/account-svc", "order-svc": "order-svc/order-svc"},
                    "order.place", 2, "account-svc", False),
}


class CompareError(Exception):
    """A shop does not work; the message is for the user."""


def find_server():
    places = [
        os.environ.get("NATS_SERVER"),
        str(ROOT / ".tools/bin/nats-server"),
        shutil.which("nats-server"), "/usr/sbin/nats-server"
    ]
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    raise CompareError("there is no nats-server; run scripts/setup")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def cpu_seconds(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Shop:
    """One way, running. Use it in a `with`."""

    def __init__(self, way, build, folder, server_program):
        self.way, self.build, self.folder, self.server_program = way, pathlib.Path(
            build), pathlib.Path(folder), server_program
        self.processes, self.line, self.url, self.monitor = {}, None, None, None
        self.account_url = None                        # a proxy's, for the account side
        self.on_server = lambda: None  # called between the server's start and the services'
        self.flags = []                                # further flags of the services
        self.accounts_file = self.folder / "accounts"

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    # ---- Processes

    def spawn(self, name, command):
        with open(self.folder / f"{name}.log", "ab") as log:
            # Call this on the main thread: PDEATHSIG follows the thread that starts the process.
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                    stderr=log, start_new_session=True,
                                                    preexec_fn=die_with_parent)

    def start(self, name):
        (self.folder / name).mkdir(exist_ok=True)
        url = self.account_url if name == self.way.account_side and self.account_url else self.url
        command = [str(self.build / self.way.programs[name]), "--server", url]
        self.spawn(
            name, command if name == "gateway" else command
            + ["--data-dir", str(self.folder / name), *self.flags])

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, name):
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()

    def start_server(self):
        port, monitor_port = free_port(), free_port()
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{monitor_port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "server"}" }}\n', encoding="utf-8")
        self.url, self.monitor = f"nats://127.0.0.1:{port}", f"http://127.0.0.1:{monitor_port}"
        self.spawn("server", [self.server_program, "-c", str(config)])
        self.wait(10, "the server answers", lambda: self.varz() is not None)

    def open(self):
        self.folder.mkdir(parents=True)
        self.start_server()
        self.on_server()
        for name in self.way.programs:
            self.start(name)
        self.line = Connection(self.url, "compare")
        self.fill()

    def close(self):
        """Stops all processes: gracefully, or by SIGKILL after a bounded time; the server last."""
        self.end(self.way.programs)
        self.end(["server"])
        if self.line:
            self.line.close()

    def end(self, names):
        running = [self.processes[name] for name in names if name in self.processes]
        for process in running:
            process.send_signal(signal.SIGTERM)            # no effect on an ended process
            process.send_signal(signal.SIGCONT)
        for process in running:
            try:
                process.wait(timeout=far(STOP_S))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait(self, seconds, what, condition):
        end = time.monotonic() + far(seconds)
        while not (value := condition()):
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise CompareError(
                        f"{name} has ended while waiting until {what}: see {self.folder / name}.log"
                    )
            if time.monotonic() > end:
                raise CompareError(f"not within {seconds} s: {what}; see {self.folder}")
            time.sleep(0.02)
        return value

    # ---- Requests

    def ask(self, subject, body, timeout=1.0):
        """One request: the decoded answer; None after a timeout, or without a responder."""
        token = os.urandom(4).hex()
        end = time.monotonic() + slower(timeout)
        if not self.line.request(subject, json.dumps(body).encode(), token):
            return None
        while (left := end - time.monotonic()) > 0:
            for answered, _, payload in self.line.poll(left):
                if answered == token:
                    return json.loads(payload) if payload else None
        return None

    def must(self, subject, body):
        """Retries a request until it is accepted: the service may be starting."""
        def accepted():
            answer = self.ask(subject, body)
            code = (answer or {}).get("error", {}).get("code")
            if code and code not in NOT_YET:
                raise CompareError(f"{subject}: {answer}")
            return answer if answer and not code else None
        return self.wait(20, f"{subject} is accepted", accepted)

    def fill(self):
        """Adds customers with a card each, and products with a stock that never ends."""
        accounts = []
        for i in range(CUSTOMERS):
            if self.way.is_entities:
                account = f"acc_00000000-0000-7000-8000-{i:012x}"
                self.must(
                    "user.put", {
                        "account_id": account, **PERSON, "card_id": account.replace("acc", "crd"),
                        "card_token": "tok_ok"
                    })
            else:
                address = {key: value for key, value in PERSON.items() if key != "name"}
                body = {"name": PERSON["name"], "email": f"{i}@example.org", "address": address}
                account = self.must("account.register", body)["account_id"]
                self.must(
                    "account.add-card", {
                        "account_id": account, "card_token": "tok_ok", "brand": "visa",
                        "last4": "4242", "expires": "2099-12"
                    })
            accounts.append(account)
        for i in range(PRODUCTS):
            if self.way.is_entities:
                self.must("product.put", {
                    "sku": f"sku-{i}", "name": f"Product {i}", "currency": "EUR", "amount": 100 + i
                })
                self.must("inventory.put", {"sku": f"sku-{i}", "stock": STOCK})
            else:
                price = {"amount": 100 + i, "currency": "EUR"}
                self.must(
                    "order.add-product",
                    {"sku": f"sku-{i}", "name": f"Product {i}", "price": price, "stock": STOCK})
        self.accounts_file.write_text("\n".join(accounts) + "\n", encoding="utf-8")
        self.must(self.way.subject, self.order(accounts[-1]))

    @staticmethod
    def order(account):
        return {"account_id": account, "lines": [{"sku": "sku-0", "quantity": 1}]}

    def places_an_order(self, timeout):
        account = self.accounts_file.read_text(encoding="utf-8").split()[0]
        answer = self.ask(self.way.subject, self.order(account), timeout)
        return bool(answer) and "order_id" in answer

    # ---- Observation

    def varz(self):
        try:
            with urllib.request.urlopen(self.monitor + "/varz", timeout=1) as reply:
                return json.load(reply)
        except OSError:
            return None

    def counters(self):
        """Messages and bytes over the server's connections, in and out, and CPU s by process."""
        varz = self.varz() or {}
        return {
            "messages": varz.get("in_msgs", 0) + varz.get("out_msgs", 0),
            "bytes": varz.get("in_bytes", 0) + varz.get("out_bytes", 0),
            "cpu": {name: cpu_seconds(process.pid) for name, process in self.processes.items()}
        }

    def rows(self, service, sql, *values):
        """Rows of a service's database, read from outside."""
        files = list((self.folder / service).glob("*.db"))
        if not files:
            raise CompareError(f"{service} has no database")
        end = time.monotonic() + far(STOP_S)
        while True:  # unreadable for a moment while the service opens the file
            try:
                with contextlib.closing(
                        sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True,
                                        timeout=2)) as database:
                    return database.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if time.monotonic() > end:
                    raise CompareError(f"{files[0]} cannot be read: {error}") from error
                time.sleep(0.02)

    def newest_order(self):
        return self.rows("order-svc", "SELECT coalesce(max(order_id), '') FROM orders")[0][0]

    def left_behind(self, newest):
        """Up to this order: purchases that account-svc does not know, or reservations without an
        order. The synchronous way has neither."""
        if self.way.is_entities:
            reserved = {
                row[0]
                for row in self.rows("inventory-svc", "SELECT DISTINCT order_id FROM reservations")
            }
            return len(reserved
                       - {row[0] for row in self.rows("order-svc", "SELECT order_id FROM orders")})
        if "synchronous" in self.way.title:
            return 0
        orders = self.rows("order-svc",
                           "SELECT count(*) FROM orders WHERE order_id <= ? AND status = 3",
                           newest)[0][0]
        purchases = self.rows(
            "account-svc", "SELECT count(*) FROM purchases WHERE order_id <= ? AND status = 'paid'",
            newest)[0][0]
        return orders - purchases

    def is_settled(self, newest):
        """Whether all orders up to this one are finished in all services."""
        if self.way.is_entities:
            return True
        open_orders = self.rows("order-svc",
                                "SELECT count(*) FROM orders WHERE order_id <= ? AND status = 1",
                                newest)[0][0]
        return open_orders == 0 and self.left_behind(newest) == 0


if __name__ == "__main__":
    sys.exit("compare_ways.py is a part of scripts/compare")
