"""Accidents: what scripts/availability lets happen to the instance that leads, and to a server,
a class or a row for each kind. Each has `count` rounds in one or several meshes (`run`), and its
figures in the end (`report`)."""
import functools
import glob
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

from journey import ROOT
from journey.availability import (LOG, NAME, NOT_NOW, PUBLISHED, Wrong, both_of, is_awake,
                                  percentile, until)
from journey.bench_mesh import KEY

FULL = 64                  # orders placed at once, so that the pipeline of the leader is full
COMMITTED = "--answer-when committed"
OUTBOX = 20                # events of the leader that the stream has not, before it is killed


def say(text):
    print(f"availability: {text}", file=sys.stderr, flush=True)


# ---- What happens to a leader --------------------------------------------------------------------

def kill(mesh, process):
    strike(mesh, process, signal.SIGKILL)


def strike(mesh, process, number):
    """Returns when the process has ended, or is frozen: it takes no order any more."""
    mesh.signal(process, number)
    until(lambda: not is_awake(mesh.pid(process)), f"{process} is dead, or frozen", every_s=0.001)


def comes_back(mesh, process):
    mesh.script("--no-wait", "start", process)


def fill(mesh, most_s=0.01):
    """Orders are under way in all places of the pipeline."""
    mesh.prober.fill(FULL)
    time.sleep(mesh.random.random() * most_s)


def killed(mesh, process):
    start = time.monotonic()
    kill(mesh, process)
    mesh.prober.begin()
    return start


def lost(mesh, process):
    if mesh.random.random() < 0.5:
        fill(mesh)
    start = killed(mesh, process)
    shutil.rmtree(os.path.join(mesh.folder, process))
    return start


def frozen(mesh, process):
    fill(mesh)
    start = time.monotonic()
    strike(mesh, process, signal.SIGSTOP)
    mesh.prober.begin()
    return start


def thawed_later(mesh, process):
    time.sleep(mesh.random.random())
    mesh.signal(process, signal.SIGCONT)


def stopped(mesh, process):
    until(lambda: mesh.instances(NAME) and mesh.standby_is_heard(process),
          f"{process} knows of a standby")
    start = time.monotonic()
    mesh.prober.begin()
    mesh.signal(process, signal.SIGTERM)
    return start


def back_after_stop(mesh, process):
    mesh.script("stop", process)
    comes_back(mesh, process)


def both(mesh, process):
    info = mesh.ask(f"$JS.API.STREAM.INFO.{LOG}", {}) or {}
    mesh.server = (info.get("cluster") or {}).get("leader") or "server-1"
    mesh.signal(mesh.server, signal.SIGKILL)
    return killed(mesh, process)


def back_with_server(mesh, process):
    mesh.script("--no-wait", "start", mesh.server)
    comes_back(mesh, process)
    until(mesh.replicas_are_current, "all replicas are current")


# ---- Kinds ---------------------------------------------------------------------------------------

class Kind:
    """What all kinds have: how many rounds, their flags, and the end of each mesh."""
    flags = PUBLISHED

    def __init__(self, kind, title, options):
        self.kind, self.title, self.options = kind, title, options
        self.count = options.count
        self.answered = self.voids = self.unanswered = 0
        self.refused, self.wrong = {}, None    # wrong: None until all has been checked

    def end(self, mesh):
        """The mesh is compared with the answers; what is wrong raises Wrong."""
        self.unanswered += mesh.prober.lost()
        mesh.end_load()
        self.voids, self.wrong = self.voids + mesh.check(), 0
        self.answered += mesh.prober.answered
        for code, count in mesh.prober.refused.items():
            self.refused[code] = self.refused.get(code, 0) + count

    def begin(self):
        """A new mesh."""
        self.wrong = None

    def figure(self, key, title, value, unit="", **more):
        self.options.report.add(f"{self.kind}_{key}", title, value, unit, section=self.title,
                                **more)

    def figures_of_answers(self, asked=None):
        self.figure("answered", "orders of the measuring client that were answered",
                    self.answered, "orders")
        self.figure("wrong", "answered orders that are missing or there twice, or void messages "
                    "that were folded (scripts/check)", self.wrong, "orders", asked=("<=", 0))
        self.figure("voids", "void messages in the streams", self.voids, "messages")
        self.figure("unanswered", "orders without an answer, which a client asks for again",
                    self.unanswered, "orders", asked=asked)
        self.figure("refused", "orders refused as not now", sum(
            count for code, count in self.refused.items() if code in NOT_NOW), "orders",
            asked=asked)


class Accidents(Kind):
    """The leader has an accident, the other one leads, the first one comes back and follows.
    `limits`: of p50, p99, the longest, and of the longest answer, in ms."""

    def __init__(self, kind, title, happens, ends, limits, options):
        super().__init__(kind, title, options)
        self.happens, self.ends, self.limits = happens, ends, limits
        self.waits, self.longest = [], []

    def run(self, mesh, count):
        mesh.prober.says_refusals = self.limits[3] is not None     # a handover refuses none
        for _ in range(count):
            process = until(mesh.look, f"an instance of {NAME} leads")
            start = self.happens(mesh, process)
            self.waits.append(mesh.prober.waited_ms(start))
            until(lambda: mesh.other_leads(process), f"the other one leads, and not {process}")
            self.ends(mesh, process)
            until(lambda: mesh.follows(process),
                  lambda: f"{process} follows: {mesh.instances(NAME)}")
            self.longest.append(mesh.prober.longest * 1000)
            say(f"{self.kind} {len(self.waits)}: {self.waits[-1]:.0f} ms, longest answer "
                f"{self.longest[-1]:.0f} ms")

    def report(self):
        self.figure("count", "times", len(self.waits), "times")
        for name, part, limit in (("p50", 0.5, self.limits[0]), ("p99", 0.99, self.limits[1]),
                                  ("longest", 1.0, self.limits[2])):
            if not any(self.limits[:3]):       # who hands over answers until then
                continue
            self.figure(name, f"until the first answered order, {name}",
                        percentile(self.waits, part), "ms",
                        asked=("<=", limit) if limit else None,
                        rounds=self.waits if name == "p50" else None)
        for name, part, limit in (("p50", 0.5, None), ("longest", 1.0, self.limits[3])):
            self.figure(f"answer_{name}", f"longest answer to an order of that time, {name}",
                        percentile(self.longest, part), "ms",
                        asked=("<=", limit) if limit else None,
                        rounds=self.longest if limit else None)
        self.figures_of_answers(("<=", 0) if self.limits[3] else None)


class Thawed(Kind):
    """The leader is frozen with a full pipeline, and thawed at any moment: before, while or after
    the other one takes over. One of the two leads then, and the other follows."""

    def __init__(self, options):
        super().__init__("thawed", "the leader is frozen with a full pipeline, and thawed at a "
                         "random moment", options)
        self.times, self.take_overs = 0, 0

    def run(self, mesh, count):
        for _ in range(count):
            process = until(mesh.look, f"an instance of {NAME} leads")
            frozen(mesh, process)
            # most of the moments are around those at which the other one notices and claims
            time.sleep(mesh.random.uniform(0.5, 0.9) if mesh.random.random() < 0.6
                       else mesh.random.uniform(0.0, 2.0))
            mesh.signal(process, signal.SIGCONT)
            until(lambda: self.is_settled(mesh), lambda: "one leads, and the other follows: "
                  f"{mesh.instances(NAME)}")
            self.times += 1
            self.take_overs += mesh.leader != process
            say(f"thawed {self.times}: {mesh.leader} leads in term {mesh.term}, {process} was "
                "frozen")

    @staticmethod
    def is_settled(mesh):
        leader = mesh.look()
        return leader and mesh.follows(next(p for p in both_of(NAME) if p != leader))

    def report(self):
        self.figure("count", "times", self.times, "times")
        self.figure("take_overs", "of these the other one had taken over", self.take_overs,
                    "times")
        self.figures_of_answers()


class Servers(Kind):
    """A server of the cluster is killed each `every_s`; it comes back after a third of that. First
    the Raft leader of the stream, then any."""
    flags = COMMITTED
    every_s = 30.0

    def __init__(self, options):
        super().__init__("servers", "a server is killed each "
                         f"{self.every_s:.0f} s, answers as of the commit", options)
        self.count = max(1, int(options.minutes * 60 / self.every_s))
        self.times, self.leaders, self.took, self.requests, self.asked = 0, 0, [], 0, 0

    def run(self, mesh, count):
        for number in range(count):
            end = time.monotonic() + self.every_s
            info = mesh.ask(f"$JS.API.STREAM.INFO.{LOG}", {}) or {}
            leader = (info.get("cluster") or {}).get("leader")
            names = [f"server-{i + 1}" for i in range(self.options.servers)]
            name = leader if leader and number % 2 == 0 else mesh.random.choice(names)
            mesh.signal(name, signal.SIGKILL)
            self.times, self.leaders = self.times + 1, self.leaders + (name == leader)
            time.sleep(self.every_s / 3)
            mesh.script("--no-wait", "start", name)
            until(mesh.replicas_are_current, "all replicas are current")
            say(f"servers {self.times}: {name} was killed{' (Raft leader)' * (name == leader)}, "
                f"replicas are current after {time.monotonic() - end + self.every_s:.1f} s")
            time.sleep(max(0.0, end - time.monotonic()))

    def end(self, mesh):
        super().end(mesh)
        self.asked += mesh.prober.asked
        with open(mesh.history, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        self.requests += len(entries)
        self.took += [seconds_of(entry) for entry in entries if entry["answer"]]

    def report(self):
        self.figure("count", "servers killed", self.times, "times")
        self.figure("leaders", "of these the Raft leader of order-svc's stream", self.leaders,
                    "times")
        self.figure("requests", "requests of the customers, each repeated until it is answered",
                    self.requests, "requests")
        self.figure("share", "of these answered", 100.0 * len(self.took) / max(1, self.requests),
                    "%", asked=(">=", 100))
        for name, part in (("p50", 0.5), ("p99", 0.99), ("longest", 1.0)):
            if self.took:
                self.figure(f"took_{name}", f"from the first try to the answer, {name}",
                            percentile(self.took, part) * 1000, "ms")
        self.figure("asked", "orders of the measuring client, which does not repeat one",
                    self.asked, "orders")
        self.figures_of_answers()


def seconds_of(entry):
    """From the first try of a customer's request to its answer."""
    def moment(text):
        return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float(text[19:-1])
    return moment(entry["answered_at"]) - moment(entry["sent_at"])


class Committed(Kind):
    """Answers as of the commit, and the stream takes nothing while the leader is killed: what it
    had answered is lost. When its disk comes back, exactly that is set aside by name."""
    flags = COMMITTED + " --take-over auto"

    def __init__(self, options):
        super().__init__("committed", "killed with answers as of the commit, which the stream "
                         "has not", options)
        self.times = self.named = self.lost = self.again = 0
        self.not_named = []

    def run(self, mesh, count):
        for _ in range(count):
            process = until(mesh.look, f"an instance of {NAME} leads")
            self.limit(mesh, mesh.ask(f"$JS.API.STREAM.INFO.{LOG}", {})["state"]["messages"])
            until(lambda: mesh.instances(NAME)[process]["outbox"] > OUTBOX, "the outbox grows")
            kill(mesh, process)
            self.limit(mesh, -1)
            until(lambda: mesh.other_leads(process), f"the other one leads, and not {process}")
            comes_back(mesh, process)
            until(lambda: mesh.follows(process), lambda: f"{process} follows: "
                  f"{mesh.instances(NAME)}")
            self.times += 1
            say(f"committed {self.times}: {len(self.orphans(mesh))} events are named")

    @staticmethod
    def limit(mesh, messages):
        config = mesh.must(f"$JS.API.STREAM.INFO.{LOG}", {})["config"]
        mesh.must(f"$JS.API.STREAM.UPDATE.{LOG}", dict(config, max_msgs=messages))

    @staticmethod
    def orphans(mesh):
        return [json.loads(line) for process in both_of(NAME)
                for path in glob.glob(os.path.join(mesh.folder, process, "orphans-*"))
                for line in open(path, encoding="utf-8")]

    def end(self, mesh):
        mesh.end_load()
        leader = until(mesh.look, f"an instance of {NAME} leads")
        database = open_log(mesh, leader)
        there = {row[0] for row in database.execute("SELECT cause FROM event_log")}
        named = {event["cause"] for event in self.orphans(mesh) if event.get("cause")}
        self.named += len(named)
        for path in mesh.histories():
            self.take_out(path, there, named)
        if self.not_named:
            raise Wrong(f"lost, and not named by orphans: {self.not_named[:10]}")
        self.voids, self.wrong = self.voids + mesh.check(), 0
        self.answered += mesh.prober.answered

    def take_out(self, path, there, named):
        """Takes what is lost out of the history, and counts it."""
        with open(path, encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        with open(path, "w", encoding="utf-8") as file:
            for entry in entries:
                cause, answer = script("check").cause_of(entry), entry["answer"] or {}
                if entry["subject"].startswith("order.") and "position" in answer:
                    self.again += cause in named and cause in there
                    if cause not in there:
                        self.lost += 1
                        self.not_named += [] if cause in named else [cause]
                        continue
                file.write(json.dumps(entry) + "\n")

    def report(self):
        self.figure("count", "times", self.times, "times")
        self.figure("lost", "answered requests that are lost", self.lost, "requests")
        self.figure("not_named", "of these not named by orphans", len(self.not_named), "requests",
                    asked=("<=", 0))
        self.figure("named", "requests named by orphans, answered or not", self.named, "requests")
        self.figure("again", "of these accepted by the successor, when they were asked again",
                    self.again, "requests")
        self.figure("wrong", "of the others missing or there twice (scripts/check)", self.wrong,
                    "requests", asked=("<=", 0))


@functools.lru_cache
def script(name):
    """The program scripts/NAME as a module."""
    loader = SourceFileLoader(name, str(ROOT / "scripts" / name))
    module = module_from_spec(spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def open_log(mesh, process):
    path = os.path.join(mesh.folder, process, NAME + ".db")
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)


class Standby(Kind):
    """How old the standby's log is, at half of what the leader takes: how long until it has the
    position that the leader has; and its processor time."""

    def __init__(self, options):
        super().__init__("standby", "a standby, at half of the leader's capacity", options)
        self.count, self.lags, self.used, self.rate = 1, [], [0.0, 0.0], 0.0

    def bench_load(self, mesh, *more):
        """The bench's load on order.place, of which python could send a tenth."""
        path = os.path.join(mesh.folder, "place")
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(KEY + json.dumps(mesh.prober.body))
        return subprocess.Popen(
            [os.path.join(mesh.build, "bench", "bench_load"), "--server", mesh.url.split(",")[0],
             "--request", f"1,order.place,{path}", *more], stdout=subprocess.PIPE, text=True)

    def run(self, mesh, count):
        leader = until(mesh.look, f"an instance of {NAME} leads")
        follower = next(p for p in both_of(NAME) if p != leader)
        said, _ = self.bench_load(mesh, "--seconds", "5", "--in-flight", "256").communicate()
        self.rate = json.loads(said)["rate"] / 2
        until(lambda: mesh.follows(follower), f"{follower} follows")
        heads = [head_of(mesh, p) for p in (leader, follower)]
        load = self.bench_load(mesh, "--seconds", str(self.options.seconds + 1), "--rate",
                               f"{self.rate:.1f}")
        time.sleep(1)
        before = [processor_s(mesh.pid(p)) for p in (leader, follower)]
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            want, start = heads[0](), time.monotonic()
            until(lambda: heads[1]() >= want, f"{follower} has event {want}", every_s=0.001)
            self.lags.append((time.monotonic() - start) * 1000)
            time.sleep(0.01)
        self.used = [processor_s(mesh.pid(p)) - b for p, b in zip((leader, follower), before)]
        load.communicate()

    def report(self):
        self.figure("rate", "orders a second", self.rate, "orders")
        self.figure("p50", "until it has what its leader has committed, p50",
                    percentile(self.lags, 0.5), "ms")
        self.figure("p99", "the same, p99", percentile(self.lags, 0.99), "ms",
                    asked=("<=", 50.0))
        self.figure("longest", "the same, longest", percentile(self.lags, 1.0), "ms")
        self.figure("cost", "a standby's processor time / its leader's",
                    self.used[1] / max(self.used[0], 0.01), asked=("<=", 0.4))


def processor_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def head_of(mesh, process):
    database = open_log(mesh, process)
    return lambda: database.execute("SELECT max(position) FROM event_log").fetchone()[0] or 0


def kind(name, title, happens, ends, *limits):
    return functools.partial(Accidents, name, title, happens, ends, limits)


KINDS = {
    "killed": kind("killed", "the leader is killed", killed, comes_back, 1000.0, 2000.0, None,
                   None),
    "lost": kind("lost", "the leader is lost with its disk", lost, comes_back, 1000.0, 2000.0,
                 None, None),
    "frozen": kind("frozen", "the leader is frozen, and thawed when the other one leads", frozen,
                   thawed_later, 1000.0, 2000.0, None, None),
    "thawed": Thawed,
    "stopped": kind("stopped", "the leader hands over", stopped, back_after_stop, None, None, None,
                    150.0),
    "both": kind("both", "the leader and the stream's Raft leader die together", both,
                 back_with_server, None, None, 12000.0, None),
    "servers": Servers,
    "committed": Committed,
    "standby": Standby,
}


if __name__ == "__main__":
    sys.exit("availability_kinds.py is a part of scripts/availability")
