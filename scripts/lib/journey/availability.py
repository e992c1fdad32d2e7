"""Availability: a mesh with two instances of each service whose leaders have accidents, and the
client that measures how long orders wait. scripts/availability says what is measured."""
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from journey import ROOT
from journey.natsline import Connection
from journey.patience import far

NAME, LOG = "order-svc", "ORDER"
PUBLISHED = "--answer-when published --take-over auto"
SERVICES = ("account-svc", NAME)
PROBE_S = 0.01                         # between two orders of the measuring client
WAIT_S = 60                            # the limit until an instance leads, or follows
BEHIND_MAX = 50                        # events: a standby that is this near has caught up
ADDRESS = {"street": "1 Market Street", "city": "Bremen", "postal_code": "28195", "country": "DE"}
NOT_NOW = {"busy", "replaying", "internal", "unconfirmed"}


class Wrong(RuntimeError):
    """It cannot be measured, or something is wrong; the message is for the user."""


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else None


def until(true, what, seconds=WAIT_S, every_s=0.02):
    end = time.monotonic() + far(seconds)
    while not (found := true()):
        if time.monotonic() > end:
            raise Wrong(f"not within {far(seconds):.0f} s: {what() if callable(what) else what}")
        time.sleep(every_s)
    return found


def both_of(name):
    return f"{name}-1", f"{name}-2"


def state_of(pid):
    """The letter of its state; "" when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(") ")[2][:1]
    except OSError:
        return ""


def is_awake(pid):
    return pid is not None and state_of(pid) not in ("", "T", "Z", "X")


class Prober(threading.Thread):
    """Places an order each ten milliseconds, and does not repeat one: what it has an answer for is
    a line of the history. `begin()`, then `waited_ms()`: how long until the first answer came to an
    order placed after. `fill(N)`: N orders at once."""

    def __init__(self, url, history, account, sku):
        super().__init__(daemon=True)
        self.line, self.history = Connection(url, "prober"), open(history, "a", encoding="utf-8")
        self.body = {"account_id": account, "lines": [{"sku": sku, "quantity": 1}]}
        self.run_id, self.sent, self.ends = os.urandom(4).hex(), {}, False
        self.wanted, self.found, self.lock = None, None, threading.Lock()
        self.asked, self.answered, self.refused, self.longest = 0, 0, {}, 0.0
        self.burst, self.filled, self.says_refusals = 0, threading.Event(), False

    def place(self):
        self.asked += 1
        key = f"probe-{self.run_id}-{self.asked}"
        if self.line.request("order.place", json.dumps(self.body).encode(), str(self.asked),
                             [("Idempotency-Key", key)]):
            self.sent[str(self.asked)] = (key, time.monotonic())

    def run(self):
        due = time.monotonic()
        while not self.ends:
            now = time.monotonic()
            if now >= due:
                due = max(due + PROBE_S, now)
                self.place()
            if self.burst:
                for _ in range(self.burst):
                    self.place()
                self.burst = 0
                self.filled.set()
            for token, _, data in self.line.poll(max(0.0, min(due - time.monotonic(), PROBE_S))):
                self.take(token, data)
        self.history.close()

    def take(self, token, data):
        key, sent = self.sent.pop(token, (None, 0.0))
        answer = json.loads(data) if data else None
        if key is None or answer is None:
            return
        code = answer.get("error", {}).get("code")
        if code:
            self.refused[code] = self.refused.get(code, 0) + 1
            if self.says_refusals:
                print(f"availability: {time.strftime('%H:%M:%S')} {key}: {answer['error']}",
                      file=sys.stderr, flush=True)
        if code in NOT_NOW:
            return
        self.history.write(json.dumps({"key": key, "subject": "order.place", "body": self.body,
                                       "answer": answer}) + "\n")
        with self.lock:
            self.answered += not code
            self.longest = max(self.longest, time.monotonic() - sent)
            if self.wanted is not None and sent >= self.wanted and not code:
                self.found, self.wanted = time.monotonic(), None

    def fill(self, count):
        """Places so many orders at once; they are under way when it returns."""
        self.filled.clear()
        self.burst = count
        self.filled.wait(far(WAIT_S))

    def begin(self):
        """An accident has happened: the next order that is placed is waited for."""
        with self.lock:
            self.wanted, self.found, self.longest = time.monotonic(), None, 0.0

    def lost(self):
        """How many orders have no answer for longer than any that is still to come."""
        limit = time.monotonic() - 2.0
        return sum(sent < limit for _, sent in list(self.sent.values()))

    def waited_ms(self, start):
        until(lambda: self.found, "an order is answered after the accident")
        return (self.found - start) * 1000


class Mesh:
    """A mesh under load; use it in a `with`. Its scratch folder is new; the flags are those of the
    services."""

    def __init__(self, folder, build, options, seed, flags):
        self.folder, self.build, self.options = str(folder), build, options
        self.seed, self.flags = seed, flags
        self.random = random.Random(seed)
        self.history = os.path.join(self.folder, "history.jsonl")
        self.load = self.prober = self.line = None
        self.url, self.leader, self.term, self.ids = "", None, 0, {}

    def script(self, *arguments):
        environment = dict(os.environ, JOURNEY_BUILD_DIR=str(self.build),
                           ORDER_SVC_FLAGS=self.flags, ACCOUNT_SVC_FLAGS=self.flags)
        for name in ("NATS_URL", "NATS_CONTEXT", "JOURNEY_MESH_URL", "JOURNEY_MESH_DIR"):
            environment.pop(name, None)
        done = subprocess.run([str(ROOT / "scripts/mesh"), "--dir", self.folder, *arguments],
                              env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            raise Wrong(f"scripts/mesh {' '.join(arguments)}: {done.stdout}{done.stderr}".strip())

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def open(self):
        self.script("--port", "0", "--servers", str(self.options.servers), "--instances", "2", "up")
        with open(os.path.join(self.folder, "run", "url"), encoding="utf-8") as file:
            self.url = file.read().strip()
        self.line = Connection(self.url, "availability")
        until(lambda: all(self.look(name) for name in SERVICES), "all services have a leader")
        account = self.must("account.register", {"name": "Prober", "email": "prober@example.org",
                                                 "address": ADDRESS})["account_id"]
        self.must("account.add-card", {"account_id": account, "card_token": "tok_ok",
                                       "brand": "visa", "last4": "4242", "expires": "2099-12"})
        self.must("order.add-product", {"sku": "probe", "name": "Probe", "stock": 10000000,
                                        "price": {"amount": 100, "currency": "EUR"}})
        until(lambda: "order_id" in (self.ask("order.place", {
            "account_id": account, "lines": [{"sku": "probe", "quantity": 1}]}) or {}),
              "the prober's card is known")
        self.load = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts/load"), "--history", self.history, "--server",
             self.url, "--rate", str(self.options.rate), "--seconds", "1", "--hold", "--seed",
             str(self.seed), "--settle", "120"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.prober = Prober(self.url, os.path.join(self.folder, "probes.jsonl"), account, "probe")
        self.prober.start()
        until(lambda: self.prober.answered > 50, "orders are answered")

    def close(self):
        if self.prober:
            self.prober.ends = True
            self.prober.join(10)
        if self.load and self.load.poll() is None:
            self.load.kill()
            self.load.wait()
        for process in both_of(NAME):          # one that is frozen does not stop
            self.signal(process, signal.SIGCONT)
        if os.path.isdir(os.path.join(self.folder, "run")):
            self.script("down")

    # ---- Requests, and what the instances say

    def ask(self, subject, body, seconds=2.0):
        try:
            return json.loads(self.line.ask_all([(subject, json.dumps(body).encode(), [
                ("Idempotency-Key", os.urandom(8).hex())])], seconds)[0])
        except TimeoutError:
            return None

    def must(self, subject, body):
        answer = until(lambda: self.ask(subject, body), f"{subject} is answered")
        if "error" in answer:
            raise Wrong(f"{subject}: {answer}")
        return answer

    def instances(self, name, seconds=0.3):
        """{process: what it says of itself} of those that answer."""
        found, end = {}, time.monotonic() + seconds
        awake = sum(is_awake(self.pid(process)) for process in both_of(name))
        token = "s" + os.urandom(4).hex()
        self.line.request(f"$SRV.STATS.{name}", b"", token)
        while time.monotonic() < end and len(found) < awake:
            for got, _, data in self.line.poll(0.05):
                if got == token and data:
                    answer = json.loads(data)
                    process = self.process_of(name, answer["metadata"].get("pid"))
                    self.ids[process] = answer["id"]
                    found[process] = next(e["data"] for e in answer["endpoints"] if e.get("data"))
        return found

    def pid(self, process):
        try:
            with open(os.path.join(self.folder, "run", process + ".pid"), encoding="utf-8") as file:
                return int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def process_of(self, name, pid):
        return next((p for p in both_of(name) if str(self.pid(p)) == pid), None)

    def look(self, name=NAME):
        """The process that leads; notes the term of order-svc."""
        said = self.instances(name)
        leaders = [(data["term"], process) for process, data in said.items()
                   if data["role"] == "leading" and data["state"] == "ready"]
        if name == NAME and leaders:
            self.term, self.leader = max(leaders)
        return max(leaders)[1] if leaders else None

    def signal(self, process, number):
        try:
            os.kill(self.pid(process) or 0, number) if self.pid(process) else None
        except ProcessLookupError:
            pass

    def follows(self, process):
        said = self.instances(NAME)
        mine = said.get(process)
        leads = next((d for d in said.values() if d["role"] == "leading"), None)
        return mine and leads and mine["state"] == "standby" and \
            mine["position"] >= leads["position"] - BEHIND_MAX

    def standby_is_heard(self, leader):
        """Does the leader know of the standby, so that it can hand over?"""
        with open(os.path.join(self.folder, "log", leader + ".log"), encoding="utf-8") as file:
            said = file.read()
        return any(f"event=standby_heard instance={self.ids.get(process)}" in said
                   for process in both_of(NAME) if process != leader)

    def other_leads(self, process):
        return self.look() not in (None, process)

    def replicas_are_current(self):
        """Has each stream a Raft leader, and each replica all that it has?"""
        for log in ("ACCOUNT", LOG):
            cluster = (self.ask(f"$JS.API.STREAM.INFO.{log}", {}) or {}).get("cluster") or {}
            replicas = cluster.get("replicas", [])
            if not cluster.get("leader") or len(replicas) < self.options.servers - 1 or not all(
                    r.get("current") and not r.get("offline") and not r.get("lag")
                    for r in replicas):
                return False
        return True

    # ---- The end

    def end_load(self):
        """Every request of the customers has its answer."""
        self.prober.ends = True
        self.prober.join(10)
        self.load.send_signal(signal.SIGUSR1)
        said, _ = self.load.communicate()
        if self.load.returncode:
            raise Wrong(f"requests were left without an answer: {said}")

    def histories(self):
        return [self.history, os.path.join(self.folder, "probes.jsonl")]

    def check(self):
        """All that is stored is what was answered. Returns how many void messages there are."""
        more = [word for path in self.histories() for word in ("--history", path)]
        done = subprocess.run([str(ROOT / "scripts/check"), "--dir", self.folder, *more, "--wait",
                               "120"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise Wrong(f"{done.stdout}{done.stderr}")
        return sum(int(line.split(",")[1].split()[0]) for line in done.stdout.splitlines()
                   if "void messages" in line and "one term leads" in line)


if __name__ == "__main__":
    sys.exit("availability.py is a part of scripts/availability")
