"""Bench's mesh: the shipped services and a server in a scratch folder, loads on them, and the CPU
of each process."""
import base64
import contextlib
import json
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from journey.compare_ways import PERSON, WAYS, CompareError, Shop, cpu_seconds, die_with_parent
from journey.natsline import Connection

SERVICES = ("order-svc", "account-svc")
IN_FLIGHT = 256
SETTLE_S = 1800                        # the limit until all orders are paid, published and read
PAUSE_US = 4000                        # before an unloaded request, and before its floor's commit
TICK_S = 0.1
ADDRESS = {key: value for key, value in PERSON.items() if key != "name"}
# The load fills in @, # and ^, see bench/requests.h.
KEY = "NATS/1.0\r\nIdempotency-Key: bench-" + "@" * 16 + "-" + "#" * 10 + "\r\n\r\n"
RANDOM_KEY = "NATS/1.0\r\nIdempotency-Key: " + "^" * 16 + "-" + "@" * 16 + "\r\n\r\n"
MIX = (("get", 5), ("place", 4), ("register", 1))  # weights: most look, many order, some register
LINES = 5                              # of an order of the shop's mix, at most
# The shop's mix: orders of one line are five times as many as those of five.
SHOP = tuple((f"shop-{lines}", LINES + 1 - lines) for lines in range(1, LINES + 1))
MIXES = {"mixed": MIX, "shop": SHOP}
SUBJECTS = {
    **{part: "order.place" for part, _ in SHOP}, "place": "order.place", "get": "order.get",
    "register": "account.register",
    "echo": "bench.echo", "floor": "bench.floor"
}
FLOOR_STREAM = "FLOOR"


class BenchError(CompareError):
    """The bench cannot go on; the message is for the user."""


def spawn(command, **more):
    """Starts a program that ends with this one, and that a terminal's Ctrl-C does not reach."""
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True, start_new_session=True,
                            preexec_fn=die_with_parent, **more)


def field(path, name):
    """A number in a file of /proc."""
    with open(path, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def switches(pid):
    """The context switches of a process's threads."""
    return sum(
        field(task / "status", f"{kind}_ctxt_switches")
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
        for kind in ("voluntary", "nonvoluntary"))


def run_program(command, progress, seconds=0.0, label=None, each=lambda: None, fine=(0,)):
    """Runs a program to its end, with progress, and returns its output. `fine`: the exit codes that
    are no failure."""
    progress.begin(label, seconds)
    process = spawn(command, stderr=subprocess.PIPE)
    try:
        while True:
            try:
                said, complained = process.communicate(timeout=TICK_S)
                break
            except subprocess.TimeoutExpired:
                progress.tick()
                each()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode not in fine or not said:
        raise BenchError(
            f"{pathlib.Path(command[0]).name}: {complained.strip() or process.returncode}")
    return said


class Mesh(Shop):
    """Use it in a `with`. Programs of bench put the load on it.

    filled: the number of orders of one customer that exist before the services start for the first
    time; order-svc publishes them. account-svc reads them, except with reader_is_late: then
    account-svc does not run yet. is_crowded: with the customers and products of the shop's mix. A
    mesh can be entered again, and is then as it was left.
    """

    def __init__(self, setup, name, filled=1, reader_is_late=False, is_crowded=False, flags=()):
        super().__init__(WAYS["journeys"], setup.build, setup.folder / name, setup.server)
        self.tools, self.progress = pathlib.Path(setup.build) / "bench", setup.progress
        self.filled, self.reader_is_late, self.flags = filled, reader_is_late, list(flags)
        self.is_crowded = is_crowded
        self.started = {}                  # start time by process
        self.filled_s = self.published_s = None        # durations of filling and of publishing

    def open(self):
        is_new, self.processes = not self.folder.exists(), {}
        (self.folder / "requests").mkdir(parents=True, exist_ok=True)
        self.start_server()
        if is_new:
            command = [self.tools / "bench_fill", self.folder, self.filled
                       ] + (["order-svc-only"] if self.reader_is_late else []) + (
                           ["crowd"] if self.is_crowded else [])
            began = time.monotonic()
            run_program(command, self.progress, label=f"filling in {self.filled:,} orders")
            self.filled_s = time.monotonic() - began
        self.line = Connection(self.url, "bench")
        self.start("order-svc")
        if is_new:                         # before account-svc starts to read the stream
            self.await_published()
        if not self.reader_is_late:
            self.start("account-svc")
            self.settle()
            self.prepare_requests()

    def start(self, name):
        self.started[name] = time.monotonic()
        super().start(name)

    # ---- Requests

    def prepare_requests(self):
        folder = self.folder / "requests"
        if (folder / "place").exists():
            return
        account = self.rows(
            "account-svc",
            "SELECT entity FROM event_log WHERE type = 'AccountRegistered' "
            "ORDER BY position LIMIT 1"
        )[0][0]
        sku = self.rows("order-svc", "SELECT min(sku) FROM products")[0][0]
        place = {"account_id": account, "lines": [{"sku": sku, "quantity": 1}]}
        looker = self.must(
            "account.register",
            {"name": "Looker", "email": "looker@example.org", "address": ADDRESS})["account_id"]
        order = self.must("order.place", place)["order_id"]
        texts = {
            "place": KEY + json.dumps(place),
            "get": json.dumps({"order_id": order}),
            "register": KEY + json.dumps({
                "name": "Bench", "email": "@" * 16 + "-" + "#" * 10 + "@example.org",
                "address": ADDRESS
            }),
            # This account has no purchases, so the answer is short.
            "lag": f'{{"account_id":"{looker}","min_position":{{"ORDER":{"~" * 10}}}}}',
            "echo": "{}",
        }
        if self.is_crowded:
            texts |= self.shop_requests()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")

    def customers(self):
        return [row[0] for row in self.rows(
            "account-svc", "SELECT entity FROM event_log WHERE type = 'CardAdded' "
            "ORDER BY position LIMIT -1 OFFSET 1")]

    def products(self):
        return [row[0] for row in self.rows(
            "order-svc", "SELECT sku FROM products WHERE sku LIKE 'bench-%' ORDER BY sku")]

    def shop_requests(self):
        """The shop's orders, of one to LINES lines, and the lists from which the load chooses
        customer and products."""
        customers, products = self.customers(), self.products()
        line = {"sku": "&" * len(products[0]), "quantity": 1}
        return {
            "customers": "\n".join(customers), "products": "\n".join(products),
            **{f"shop-{lines}": RANDOM_KEY + json.dumps(
                {"account_id": "%" * len(customers[0]), "lines": [line] * lines})
                for lines in range(1, LINES + 1)}
        }

    def prepare_floor_stream(self):
        """Makes an empty stream like ORDER, and a message like one of ORDER's: the same headers and
        sizes, each message with the expected sequence of its number."""
        def api(verb, body):
            return self.ask(f"$JS.API.STREAM.{verb}", body, timeout=10)

        config = api("INFO.ORDER",
                     {})["config"] | {"name": FLOOR_STREAM, "subjects": [SUBJECTS["floor"]]}
        api(f"DELETE.{FLOOR_STREAM}", {})
        if "error" in (made := api(f"CREATE.{FLOOR_STREAM}", config)):
            raise BenchError(f"a stream cannot be made: {made['error']}")
        placed = self.rows("order-svc",
                           "SELECT max(position) FROM event_log WHERE type = 'OrderPlaced'")[0][0]
        message = api("MSG.GET.ORDER", {"seq": placed})["message"]
        headers = base64.b64decode(message["hdrs"]).decode()
        headers = re.sub(r"(?m)^(Nats-Expected-Last-Sequence:).*?\r$", r"\1 " + "#" * 10 + "\r",
                         headers)
        (self.folder / "requests/floor").write_bytes(headers.encode()
                                                     + base64.b64decode(message["data"]))

    def request_flags(self, kind):
        folder = self.folder / "requests"
        flags = [
            word for part, weight in MIXES.get(kind, ((kind, 1),))
            for word in ("--request", f"{weight},{SUBJECTS[part]},{folder / part}")
        ]
        if kind == "shop":
            flags += ["--words", f"%,uniform,{folder / 'customers'}",
                      "--words", f"&,tail,{folder / 'products'}"]
        return flags

    # ---- Loads

    def load(self, kind, label, seconds=0.0, each=lambda: None, may_refuse=False, **flags):
        """Runs one load and returns its figures. `each` is called regularly during the load. A
        refusal does not count as an answer."""
        command = [self.tools / "bench_load", "--server", self.url, *self.request_flags(kind)]
        flags |= {"seconds": seconds} if seconds else {}
        command += [
            word for flag, value in flags.items() for word in ("--" + flag.replace("_", "-"), value)
        ]
        result = json.loads(run_program(command, self.progress, seconds, label, each, fine=(0, 1)))
        if (result["refused"] or result["unanswered"]) and not may_refuse:
            raise BenchError(
                f"{label}: {result['refused']} refused, {result['unanswered']} not answered; "
                f"{result['first_refusal']}"
            )
        return result

    def unloaded(self, kind, count):
        return self.load(kind, f"{kind}, one at a time", count=count, pause_us=PAUSE_US)

    def settled_load(self, *arguments, **flags):
        """A load and then all its effects: also, of each process for an answered request, the CPU
        in µs, the context switches, and the bytes written to the disk and stored there."""
        before = self.used()
        result = self.load(*arguments, **flags)
        result["left"] = self.left()
        self.settle()
        answered = max(1, result["answered"])
        for what, now in self.used().items():
            result[what] = {name: (used - before[what][name]) / answered
                            for name, used in now.items()}
        result["cpu"]["load"] = result["cpu_us"] / answered
        return result

    def capacity(self, kind, seconds=0.0, each=lambda: None, **flags):
        return self.settled_load(kind, f"{kind}, {IN_FLIGHT} in flight", seconds, each,
                                 in_flight=IN_FLIGHT, **flags)

    def open_loop(self, kind, rate, seconds, **flags):
        """An overloaded service may refuse requests."""
        return self.settled_load(kind, f"{kind}, {rate:,.0f} a second at planned times", seconds,
                                 may_refuse=True, rate=f"{rate:.1f}", **flags)

    # ---- Observation

    def used(self):
        """What each process has used since its start, and the bytes of its files."""
        pids = {name: self.processes[name].pid for name in ("server", *SERVICES)}
        return {
            "cpu": {name: cpu_seconds(pid) * 1e6 for name, pid in pids.items()},
            "switches": {name: switches(pid) for name, pid in pids.items()},
            "written": {name: field(f"/proc/{pid}/io", "write_bytes")
                        for name, pid in pids.items()},
            "stored": {name: self.bytes_of(name) for name in pids},
        }

    def stats(self, service):
        """A service's statistics ($SRV.STATS); None without an answer."""
        answer = self.ask(f"$SRV.STATS.{service}", "") or {}
        return next((endpoint["data"]
                     for endpoint in answer.get("endpoints", [])
                     if isinstance(endpoint.get("data"), dict)), None)

    def left(self):
        """Work left now: orders to pay, events to publish, events for account-svc to read."""
        order, account = self.stats("order-svc") or {}, self.stats("account-svc") or {}
        return {
            "to_pay": self.open_orders(), "to_publish": order.get("outbox"),
            "to_read": order.get("position", 0) - self.cursor(account, "ORDER")
        }

    def open_orders(self):
        """The number of orders placed and not paid; a partial index keeps this query fast."""
        return self.rows(
            "order-svc",
            "SELECT count(*) FROM orders WHERE status <= 2 AND card_id IS NOT NULL")[0][0]

    @staticmethod
    def cursor(stats, log):
        return ((stats or {}).get("sources") or {}).get(log, {}).get("cursor", 0)

    def is_published(self):
        self.progress.tick()
        order = self.stats("order-svc")
        return order and order["outbox"] == 0 and order["state"] == "ready"

    def is_through(self):
        """Whether all orders are paid, published, and read by the other service."""
        self.progress.tick()
        order, account = self.stats("order-svc"), self.stats("account-svc")
        if not order or not account or order["outbox"] or account["outbox"]:
            return False
        if self.cursor(account, "ORDER") < order["position"] or self.cursor(
                order, "ACCOUNT") < account["position"]:
            return False
        return self.open_orders() == 0

    def settle(self):
        self.wait(SETTLE_S, "all orders are paid, published and read", self.is_through)

    def await_published(self):
        self.progress.begin("order-svc is filling the stream")
        self.wait(SETTLE_S, "the stream has the log", self.is_published)
        self.published_s = self.running_s("order-svc")

    def standby_s(self):
        """How long a second instance of order-svc with an empty folder takes until it has all of
        the log."""
        folder = self.folder / "standby"
        folder.mkdir()
        self.progress.begin("an empty standby reads the stream")
        want, began = self.stats("order-svc")["position"], time.monotonic()
        self.spawn("standby", [str(self.build / self.way.programs["order-svc"]), "--server",
                               self.url, "--data-dir", str(folder), *self.flags])
        path = f"file:{folder / 'order-svc.db'}?mode=ro"

        def has_all():
            self.progress.tick()
            try:
                with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
                    return db.execute("SELECT max(position) FROM event_log").fetchone()[0] == want
            except sqlite3.Error:          # not there yet
                return False
        self.wait(SETTLE_S, "the standby has the log", has_all)
        took = time.monotonic() - began
        self.kill("standby")
        del self.processes["standby"]
        shutil.rmtree(folder)
        return took

    def running_s(self, service):
        return time.monotonic() - self.started[service]

    def memory_mib(self, service, what="VmHWM"):
        return field(f"/proc/{self.processes[service].pid}/status", what) / 1024

    def ready_ms(self, service):
        """The duration of the newest start, from the service's log."""
        found = re.findall(r"event=ready.* start_ms=(\d+)",
                           (self.folder / f"{service}.log").read_text(encoding="utf-8"))
        return int(found[-1]) if found else None

    def bytes_of(self, name):
        """The bytes of a process's files: a database with its WAL, or the server's streams."""
        return sum(
            path.stat().st_size for path in (self.folder / name).rglob("*") if path.is_file())


class Echo:
    """A process that answers every request at once; use it in a `with`."""

    def __init__(self, mesh):
        self.process = spawn([mesh.tools / "bench_echo", mesh.url])

    def __enter__(self):
        if self.process.stdout.readline().strip() != "listens":
            raise BenchError("bench_echo does not listen")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()


if __name__ == "__main__":
    sys.exit("bench_mesh.py is a part of scripts/bench")
