"""Availability: a mesh with two instances of each service whose leaders have accidents, and the
client that measures how long orders wait. scripts/availability says what is measured."""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

from journey import ROOT
from journey.natsline import Connection
from journey.patience import far

NAME, LOG = "order-svc", "ORDER"
FLAGS = "--answer-when published --take-over auto"
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


def until(true, what, seconds=WAIT_S):
    end = time.monotonic() + far(seconds)
    while not (found := true()):
        if time.monotonic() > end:
            raise Wrong(f"not within {far(seconds):.0f} s: {what}")
        time.sleep(0.02)
    return found


class Prober(threading.Thread):
    """Places an order each ten milliseconds, and does not repeat one: what it has an answer for is
    a line of the history. `first_after(t)`: when the first answer came to an order placed after."""

    def __init__(self, url, history, account, sku):
        super().__init__(daemon=True)
        self.line, self.history = Connection(url, "prober"), open(history, "a", encoding="utf-8")
        self.body = {"account_id": account, "lines": [{"sku": sku, "quantity": 1}]}
        self.run_id, self.sent, self.ends = os.urandom(4).hex(), {}, False
        self.wanted, self.found, self.lock = None, None, threading.Lock()
        self.answered, self.refused, self.longest = 0, {}, 0.0

    def run(self):
        body, number, due = json.dumps(self.body).encode(), 0, time.monotonic()
        while not self.ends:
            now = time.monotonic()
            if now >= due:
                number, due = number + 1, max(due + PROBE_S, now)
                key = f"probe-{self.run_id}-{number}"
                if self.line.request("order.place", body, str(number),
                                     [("Idempotency-Key", key)]):
                    self.sent[str(number)] = (key, now)
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
        if code in NOT_NOW:
            return
        self.history.write(json.dumps({"key": key, "subject": "order.place", "body": self.body,
                                       "answer": answer}) + "\n")
        with self.lock:
            self.answered += not code
            self.longest = max(self.longest, time.monotonic() - sent)
            if self.wanted is not None and sent >= self.wanted and not code:
                self.found, self.wanted = time.monotonic(), None

    def begin(self):
        """An accident happens now. Returns the moment."""
        with self.lock:
            self.wanted, self.found, self.longest = time.monotonic(), None, 0.0
            return self.wanted

    def lost(self):
        """How many orders have no answer for longer than any that is still to come."""
        limit = time.monotonic() - 2.0
        return sum(sent < limit for _, sent in list(self.sent.values()))

    def waited_ms(self, start):
        until(lambda: self.found, "an order is answered after the accident")
        return (self.found - start) * 1000


class Mesh:
    """Use it in a `with`."""

    def __init__(self, folder, build, options):
        self.folder, self.build, self.options = str(folder), build, options
        self.random = random.Random(options.seed)
        self.history = os.path.join(self.folder, "history.jsonl")
        self.load = self.prober = self.line = None
        self.url, self.leader, self.term = "", None, 0

    def script(self, *arguments):
        environment = dict(os.environ, JOURNEY_BUILD_DIR=str(self.build), ORDER_SVC_FLAGS=FLAGS,
                           ACCOUNT_SVC_FLAGS=FLAGS)
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
             str(self.options.seed), "--settle", "120"], stdin=subprocess.DEVNULL,
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
        for i in (1, 2):                       # one that is frozen does not stop
            self.signal(f"{NAME}-{i}", signal.SIGCONT)
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
        found, end, count = {}, time.monotonic() + seconds, 0
        token = "s" + os.urandom(4).hex()
        self.line.request(f"$SRV.STATS.{name}", b"", token)
        while time.monotonic() < end and count < 2:
            for got, _, data in self.line.poll(0.05):
                if got == token and data:
                    answer, count = json.loads(data), count + 1
                    process = self.process_of(name, answer["metadata"].get("pid"))
                    found[process] = next(e["data"] for e in answer["endpoints"] if e.get("data"))
        return found

    def pid(self, process):
        try:
            with open(os.path.join(self.folder, "run", process + ".pid"), encoding="utf-8") as file:
                return int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def process_of(self, name, pid):
        return next((p for p in (f"{name}-1", f"{name}-2") if str(self.pid(p)) == pid), None)

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

    def other_leads(self, process):
        return self.look() not in (None, process)

    # ---- The end

    def check(self, report):
        """Every request has its answer; all that is stored is what was answered."""
        self.prober.ends = True
        self.prober.join(10)
        self.load.send_signal(signal.SIGUSR1)
        said, _ = self.load.communicate()
        if self.load.returncode:
            raise Wrong(f"requests were left without an answer: {said}")
        done = subprocess.run(
            [str(ROOT / "scripts/check"), "--dir", self.folder, "--history", self.history,
             "--history", os.path.join(self.folder, "probes.jsonl"), "--wait", "120"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Wrong(f"{done.stdout}{done.stderr}")
        title = "the whole run, by scripts/check"
        report.add("answered", "orders of the measuring client that were answered",
                   self.prober.answered, "orders", section=title)
        report.add("wrong", "answered orders that are missing or there twice, void messages folded",
                   0, "", asked=("<=", 0), section=title, shown="0")
        voids = [line for line in done.stdout.splitlines() if "void messages" in line]
        report.add("voids", "void messages in the streams", sum(
            int(line.split(",")[1].split()[0]) for line in voids), "messages", section=title)


# ---- Accidents -----------------------------------------------------------------------------------

def killed(mesh, process):
    mesh.signal(process, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{mesh.pid(process)}") or is_zombie(mesh.pid(process)),
          f"{process} is dead")


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


def comes_back(mesh, process):
    mesh.script("--no-wait", "start", process)


def lost(mesh, process):
    killed(mesh, process)
    shutil.rmtree(os.path.join(mesh.folder, process))


def frozen(mesh, process):
    mesh.signal(process, signal.SIGSTOP)


def thawed(mesh, process):
    time.sleep(mesh.random.random())           # at any moment after the take-over
    mesh.signal(process, signal.SIGCONT)


def stopped(mesh, process):
    mesh.signal(process, signal.SIGTERM)


def back_after_stop(mesh, process):
    mesh.script("stop", process)
    comes_back(mesh, process)


def both(mesh, process):
    info = mesh.ask(f"$JS.API.STREAM.INFO.{LOG}", {}) or {}
    mesh.server = (info.get("cluster") or {}).get("leader") or "server-1"
    mesh.signal(mesh.server, signal.SIGKILL)
    killed(mesh, process)


def back_with_server(mesh, process):
    mesh.script("--no-wait", "start", mesh.server)
    comes_back(mesh, process)


def accidents(kind, title, happens, ends, limits):
    """A section: the accident, so many times; the limits of p50, p99, the longest, and of
    the longest answer, in ms."""
    def section(mesh, report):
        waits, longest, refused = [], [], dict(mesh.prober.refused)
        unanswered = mesh.prober.lost()
        for number in range(mesh.options.count):
            process = until(mesh.look, f"an instance of {NAME} leads")
            start = mesh.prober.begin()
            happens(mesh, process)
            waits.append(mesh.prober.waited_ms(start))
            until(lambda: mesh.other_leads(process), f"the other one leads, and not {process}")
            ends(mesh, process)
            until(lambda: mesh.follows(process), f"{process} follows: {mesh.instances(NAME)}")
            longest.append(mesh.prober.longest * 1000)
            print(f"availability: {kind} {number + 1}: {waits[-1]:.0f} ms", file=sys.stderr,
                  flush=True)
        new = {code: count - refused.get(code, 0)
               for code, count in mesh.prober.refused.items() if count > refused.get(code, 0)}
        add = report.add
        add(f"{kind}_count", "times", len(waits), "times", section=title)
        for name, part, limit in (("p50", 0.5, limits[0]), ("p99", 0.99, limits[1]),
                                  ("longest", 1.0, limits[2])):
            add(f"{kind}_{name}", f"until the first answered order, {name}",
                percentile(waits, part), "ms", section=title,
                asked=("<=", limit) if limit else None, rounds=waits if name == "p50" else None)
        add(f"{kind}_answer", "longest answer to an order of that time", max(longest), "ms",
            section=title, asked=("<=", limits[3]) if limits[3] else None)
        add(f"{kind}_unanswered", "orders without an answer, which a client asks for again",
            mesh.prober.lost() - unanswered, "orders", section=title,
            asked=("<=", 0) if limits[3] else None)
        add(f"{kind}_refused", "orders refused meanwhile as not now", sum(
            count for code, count in new.items() if code in NOT_NOW), "orders", section=title,
            asked=("<=", 0) if limits[3] else None)
    return section


def processor_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def standby(mesh, report):
    """How old the standby's log is: how long until it has the position that the leader has."""
    leader = until(mesh.look, f"an instance of {NAME} leads")
    follower = next(p for p in (f"{NAME}-1", f"{NAME}-2") if p != leader)
    until(lambda: mesh.follows(follower), f"{follower} follows")
    before = [processor_s(mesh.pid(p)) for p in (leader, follower)]
    end, lags = time.monotonic() + mesh.options.seconds, []
    heads = [head_of(mesh, p) for p in (leader, follower)]
    while time.monotonic() < end:
        want, start = heads[0](), time.monotonic()
        while heads[1]() < want:
            time.sleep(0.001)
        lags.append((time.monotonic() - start) * 1000)
        time.sleep(0.01)
    used = [processor_s(mesh.pid(p)) - b for p, b in zip((leader, follower), before)]
    title = f"a standby, at {mesh.options.rate:,.0f} requests and {1 / PROBE_S:.0f} orders a second"
    report.add("standby_p50", "until it has what its leader has committed, p50",
               percentile(lags, 0.5), "ms", section=title)
    report.add("standby_p99", "the same, p99", percentile(lags, 0.99), "ms", asked=("<=", 50.0),
               section=title)
    report.add("standby_cost", "a standby's processor time / its leader's",
               used[1] / max(used[0], 0.01), asked=("<=", 0.4), section=title)


def head_of(mesh, process):
    path = os.path.join(mesh.folder, process, NAME + ".db")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    return lambda: database.execute("SELECT max(position) FROM event_log").fetchone()[0] or 0


KINDS = {
    "killed": accidents("killed", "the leader is killed", killed, comes_back,
                        (1000.0, 2000.0, None, None)),
    "lost": accidents("lost", "the leader is lost with its disk", lost, comes_back,
                      (1000.0, 2000.0, None, None)),
    "frozen": accidents("frozen", "the leader is frozen, and thawed later", frozen, thawed,
                        (1000.0, 2000.0, None, None)),
    "stopped": accidents("stopped", "the leader hands over", stopped, back_after_stop,
                         (None, None, None, 150.0)),
    "both": accidents("both", "the leader and the stream's Raft leader die together", both,
                      back_with_server, (None, None, 12000.0, None)),
    "standby": standby,
}


if __name__ == "__main__":
    sys.exit("availability.py is a part of scripts/availability")
