"""Bench's mesh: the shipped services and a server in a scratch folder, loads on them, and what each process has used meanwhile."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from compare_ways import WAYS, CompareError, Shop, cpu_seconds, die_with_parent

SERVICES = ("order-svc", "account-svc")
SETTLE_S = 600                         # how long what was ordered may take to be paid, published and read
TICK_S = 0.1
ADDRESS = {"street": "1 Market Street", "city": "Bremen", "postal_code": "28195", "country": "DE"}
KEY = "NATS/1.0\r\nIdempotency-Key: bench-" + "@" * 16 + "-" + "#" * 10 + "\r\n\r\n"      # the load fills these in
MIX = (("get", 5), ("place", 4), ("register", 1))      # as customers do: most look, many order, some come
SUBJECTS = {"place": "order.place", "get": "order.get", "register": "account.register", "echo": "bench.echo"}


class BenchError(CompareError):
    """The bench cannot go on; the message is for a person."""


def run_program(command, progress, seconds=0.0, label=None):
    """Runs a program to its end, with progress; what it printed. It ends with us."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, start_new_session=True, preexec_fn=die_with_parent)
    progress.begin(label, seconds)
    try:
        while True:
            try:
                said, complained = process.communicate(timeout=TICK_S)
                break
            except subprocess.TimeoutExpired:
                progress.tick()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.communicate()
        raise
    if process.returncode != 0:
        raise BenchError(f"{pathlib.Path(command[0]).name}: {complained.strip() or process.returncode}")
    return said


class Mesh(Shop):
    """Use it in a `with`. Programs of tests/bench put the load on it."""

    def __init__(self, setup, name, on_server=None):
        super().__init__(WAYS["journeys"], setup.build, setup.folder / name, setup.server)
        self.tools, self.progress = pathlib.Path(setup.build) / "tests", setup.progress
        self.on_server = on_server or self.on_server

    # ---- Requests

    def fill(self):
        super().fill()
        folder = self.folder / "requests"
        folder.mkdir(exist_ok=True)
        account = self.accounts_file.read_text(encoding="utf-8").split()[0]
        looker = self.must("account.register", {"name": "Looker", "email": "looker@example.org", "address": ADDRESS})["account_id"]
        order = self.must("order.place", self.order(account))["order_id"]
        texts = {
            "place": KEY + json.dumps(self.order(account)),
            "get": json.dumps({"order_id": order}),
            "register": KEY + json.dumps({"name": "Bench", "email": "@" * 16 + "-" + "#" * 10 + "@example.org", "address": ADDRESS}),
            "lag": f'{{"account_id":"{looker}","min_position":{{"ORDER":{"~" * 10}}}}}',        # its answer is short: no purchases
            "echo": "{}",
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")

    def request_flags(self, kind):
        parts = MIX if kind == "mixed" else ((kind, 1),)
        return [word for part, weight in parts for word in ("--request", f"{weight},{SUBJECTS[part]},{self.folder / 'requests' / part}")]

    # ---- Loads

    def load(self, kind, label, seconds, **flags):
        """One load; its figures, and the CPU in µs that each process used for an answered request until all of it was settled."""
        command = [self.tools / "bench_load", "--server", self.url, *self.request_flags(kind)]
        command += [word for flag, value in {"seconds": seconds, **flags}.items() for word in ("--" + flag.replace("_", "-"), str(value))]
        before = self.cpu()
        result = json.loads(run_program(command, self.progress, seconds, label))
        result["left"] = self.left()
        self.settle()
        answered = max(1, result["answered"])
        result["cpu"] = {"load": result["cpu_us"] / answered,
                         **{name: (used - before[name]) * 1e6 / answered for name, used in self.cpu().items()}}
        return result

    def capacity(self, kind, seconds):
        return self.load(kind, f"{kind}, 256 in flight", seconds, in_flight=256)

    # ---- Looking

    def cpu(self):
        return {name: cpu_seconds(process.pid) for name, process in self.processes.items() if name in (*SERVICES, "server")}

    def stats(self, service):
        """What a service says of itself in $SRV.STATS; None when it does not answer."""
        answer = self.ask(f"$SRV.STATS.{service}", "") or {}
        return next((endpoint["data"] for endpoint in answer.get("endpoints", []) if isinstance(endpoint.get("data"), dict)), None)

    def left(self):
        """Events that wait at this moment: of order-svc to be published, and to be read by account-svc."""
        order, account = self.stats("order-svc") or {}, self.stats("account-svc") or {}
        return {"to_publish": order.get("outbox"), "to_read": order.get("position", 0) - self.cursor(account, "ORDER")}

    @staticmethod
    def cursor(stats, log):
        return ((stats or {}).get("sources") or {}).get(log, {}).get("cursor", 0)

    def is_through(self):
        """Is all that was ordered paid, published, and read by the other service?"""
        order, account = self.stats("order-svc"), self.stats("account-svc")
        if not order or not account or order["outbox"] or account["outbox"]:
            return False
        if self.cursor(account, "ORDER") < order["position"] or self.cursor(order, "ACCOUNT") < account["position"]:
            return False
        # status <= 2: placed, or a payment has failed. By a partial index, however many orders there are.
        return not self.rows("order-svc", "SELECT 1 FROM orders WHERE status <= 2 AND card_id IS NOT NULL LIMIT 1")

    def settle(self):
        self.wait(SETTLE_S, "all orders are paid, published and read", self.is_through)

    def memory_mib(self, service, field="VmHWM"):
        with open(f"/proc/{self.processes[service].pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field + ":"))


if __name__ == "__main__":
    sys.exit("bench_mesh.py is a part of scripts/bench")
