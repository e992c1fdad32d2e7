"""Kit: what the tests of faults stand on: a mesh of their own, a load, a client, waiting, the check from outside.

A row of the catalogue is a function in a file rows_*.py, discovered by its name:

    from kit import needs, wait_until

    @needs("crash points")                    # also: "root", "faketime", "sqlite3", "strace"; else it is skipped, and said
    def fault_13_stores_wiped(mesh):
        '''What is done, and what must hold: the report takes the first sentence.'''
        mesh.up()                             # a mesh of its own: folder, port, programs
        load = mesh.load(seconds=2)           # customers, in the background
        mesh.kill("server"); mesh.wipe_streams(); mesh.start("server")
        load.finish()                         # every request got its answer
        mesh.check()                          # quiet, scripts/check, the logs, all processes run

`scripts/faults` runs each test in a process of its own and takes the mesh away afterwards. A test waits for
conditions, each with a bound, and never for a time. It fails by an exception; `require` makes one with words.
"""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import time

from basics import (FULL, LOG, MARK, NEEDS, READER, ROOT, SCRIPTS, SECRETS, CONTROL, SERVICES, Failed, Skipped,
                    faketime_library, is_sanitized, leftovers, let_pass, needs, require, script, wait_until)
from journey import meshview                        # beside the scripts, whose folder basics puts on the path
from journey.natsline import Connection
from journey.patience import far, slower

__all__ = ["FULL", "LOG", "MARK", "NEEDS", "READER", "ROOT", "SCRIPTS", "SERVICES", "Connection", "Failed", "Load", "Mesh",
           "Skipped", "faketime_library", "far", "is_sanitized", "json", "leftovers", "let_pass", "needs", "os", "require",
           "script", "slower", "subprocess", "wait_until"]


LONGEST_S = 3600                       # a load that nobody ends


# ---- A load of customers ------------------------------------------------------------------------------

class Load:
    """scripts/load in the background; each request is sent again until it has an answer. It lasts for
    `seconds`, and until finish(), however long the test takes; with `ends` for the seconds only."""

    def __init__(self, mesh, seconds, rate, seed, in_flight, ends):
        self.until = time.monotonic() + seconds
        self.said = open(os.path.join(mesh.folder, "log", f"load-{seed}.log"), "w+b")
        self.process = subprocess.Popen(
            [os.path.join(SCRIPTS, "load"), "--history", mesh.history, "--server", mesh.url, "--seconds", str(seconds if ends else seconds + LONGEST_S),
             "--rate", str(rate), "--seed", str(seed), "--in-flight", str(in_flight), "--settle", "60"],
            env=mesh.environment(), stdin=subprocess.DEVNULL, stdout=self.said, stderr=subprocess.STDOUT)

    def runs(self):
        return self.process.poll() is None

    def finish(self, seconds=90):
        """Waits for its end: every request must have got its answer. Returns what it printed."""
        while self.runs() and (left := self.until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        if self.runs():
            self.process.send_signal(signal.SIGUSR1)         # nothing new; what is open gets its answer
        try:
            code = self.process.wait(far(seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the load does not end") from None
        self.said.seek(0)
        text = self.said.read().decode()
        require(code == 0, f"the load has requests without an answer:\n{text}")
        return text


# ---- A mesh -------------------------------------------------------------------------------------------

class Mesh:
    """A mesh in a folder of its own, run by scripts/mesh. Nothing runs before up()."""

    def __init__(self, folder, build):
        self.folder, self.build = os.path.realpath(folder), os.path.realpath(build)
        self.history = os.path.join(self.folder, "history.jsonl")
        self.programs = self.build                       # where the programs are that run
        self.env = {name: {} for name in SERVICES}       # more environment of a service, from its next start on
        self.flags = {name: [] for name in SERVICES}     # more flags of a service, from its next start on
        self.prefix = {name: [] for name in SERVICES}    # what runs the service: ["strace", "-o", "/dev/null"]
        self.server_program = None                       # another nats-server, from its next start on
        self.run_in = []                                 # what runs scripts/mesh: ["ip", "netns", "exec", "x"]
        self.marks = []                                  # (log, position, chain) that must stay in the log
        self.may_be_down = set()                         # services that check() does not expect to run
        self.mounts = []
        self.helpers = []                                # processes beside the mesh that end with the test
        self.connection = None
        for name in SERVICES:
            os.makedirs(os.path.join(self.folder, "programs", name), exist_ok=True)
        for name in ("server", "log", "run"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)

    # ---- scripts/mesh

    @property
    def url(self):
        with open(os.path.join(self.folder, "run", "url"), encoding="utf-8") as file:
            return file.read().strip()

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def environment(self):
        environment = dict(os.environ, JOURNEY_BUILD_DIR=os.path.join(self.folder, "programs"))
        for name in ("NATS_URL", "NATS_CONTEXT", "JOURNEY_MESH_URL", "JOURNEY_CRASH_AT", "NATS_SERVER"):
            environment.pop(name, None)
        environment["PATH"] = os.pathsep.join([os.path.join(ROOT, ".tools", "bin"), environment["PATH"], "/usr/sbin"])
        environment["XDG_CONFIG_HOME"] = os.path.join(self.folder, "xdg")
        if self.server_program:
            environment["NATS_SERVER"] = self.server_program
        for name in SERVICES:
            environment[name.upper().replace("-", "_") + "_FLAGS"] = " ".join(self.flags[name])
        return environment

    def program(self, name):
        return os.path.join(self.programs, name, name)

    def be_breakable(self):
        """From the next start on the services are those of tests/mesh/breakable: see disk.py and guards.py."""
        self.programs = os.path.join(self.build, "tests", "mesh", "breakable")
        if not os.path.exists(self.program("order-svc")):
            raise Skipped("this build has no tests")
        for name in SERVICES:
            self.set_clock(name, 0)
            self.env[name]["JOURNEY_CLOCK"] = os.path.join(self.folder, "clock-" + name)
        return self

    def set_clock(self, name, ahead_ms):
        """A breakable service's wall clock is so far ahead (behind) from now on."""
        with open(os.path.join(self.folder, "clock-" + name), "w", encoding="utf-8") as file:
            file.write(str(ahead_ms))

    def write_programs(self):
        """The programs that scripts/mesh starts: the built ones, behind what the test puts before them."""
        for name in SERVICES:
            path = os.path.join(self.folder, "programs", name, name)
            words = [f"{key}={value}" for key, value in self.env[name].items()]
            line = shlex.join((["env"] + words if words else []) + self.prefix[name] + [self.program(name)])
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexec {line} \"$@\"\n")
            os.chmod(path + ".new", stat.S_IRWXU)
            os.replace(path + ".new", path)

    def script(self, *arguments, may_fail=False):
        """scripts/mesh --dir … ARGUMENTS; what it printed."""
        self.write_programs()
        done = subprocess.run(self.run_in + [os.path.join(SCRIPTS, "mesh"), "--dir", self.folder, *arguments],
                              env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=far(120))
        if done.returncode != 0 and not may_fail:
            raise Failed(f"scripts/mesh {' '.join(arguments)}: {(done.stdout + done.stderr).strip()}")
        return done.stdout + done.stderr

    def server_config(self, text):
        """More lines of the server's configuration, from its next start (or reload) on; the last word counts."""
        with open(os.path.join(self.folder, "server", "extra.conf"), "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def write_server_config(self, text):
        """The same, and the running server reads it now (its nats.conf, as scripts/mesh wrote it, changes with it)."""
        path, extra = os.path.join(self.folder, "server", "nats.conf"), os.path.join(self.folder, "server", "extra.conf")
        with open(path, encoding="utf-8") as file:
            whole = file.read()
        if os.path.exists(extra):
            with open(extra, encoding="utf-8") as file:
                whole = whole.removesuffix(file.read())
        self.server_config(text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole + text + "\n")
        self.signal("server", signal.SIGHUP)

    def mount_tmpfs(self, path, size):
        """A small disk at `path`; gone with the test. Needs root."""
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path], check=True)
        self.mounts.append(path)

    def up(self, wait=True):
        self.script("--port", "0", *([] if wait else ["--no-wait"]), "up")
        return self

    def start(self, name, wait=True, **env):
        """Starts one process; env: for this start only."""
        before = dict(self.env[name]) if env else None
        if env:
            self.env[name].update(env)
        try:
            self.script(*([] if wait else ["--no-wait"]), "start", name)
        finally:
            if env:
                self.env[name] = before

    def stop(self, name):
        self.script("stop", name)

    def kill(self, name):
        """SIGKILL; false when it had ended by itself already."""
        return "does not run" not in self.script("kill", name, may_fail=True)

    def pause(self, name):
        self.script("pause", name)

    def resume(self, name):
        self.script("resume", name)

    def restart(self, name, wait=True, **env):
        self.stop(name)
        self.start(name, wait, **env)

    # ---- Processes

    def pid(self, name):
        """The pid of a process of the mesh that runs; None."""
        try:
            with open(os.path.join(self.folder, "run", name + ".pid"), encoding="utf-8") as file:
                pid, start = file.read().split()
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(") ")[2].split()
        except (OSError, ValueError):
            return None
        return int(pid) if fields[19] == start and fields[0] != "Z" else None

    def runs(self, name):
        return self.pid(name) is not None

    def wait_dead(self, name, seconds=20):
        wait_until(lambda: not self.runs(name), f"{name} ends by itself", seconds)

    def signal(self, name, number):
        os.kill(require(self.pid(name), f"{name} does not run"), number)

    def resources(self, name):
        """What must be back at its base line in the end (I13): kB, descriptors, threads, bytes of the WAL."""
        pid = require(self.pid(name), f"{name} does not run")
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        wal = self.database_path(name) + "-wal"
        return {"rss_kb": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
                "fds": len(os.listdir(f"/proc/{pid}/fd")), "wal_bytes": os.path.getsize(wal) if os.path.exists(wal) else 0}

    # ---- Files

    def log_text(self, name):
        with open(os.path.join(self.folder, "log", name + ".log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_has(self, name, pattern, after=0):
        """A line of its log matches, from the character `after` on (see log_size)."""
        return re.search(pattern, self.log_text(name)[after:], re.M)

    def log_size(self, name):
        return len(self.log_text(name))

    def data(self, name):
        return os.path.join(self.folder, name)

    def database_path(self, name):
        return os.path.join(self.folder, name, name + ".db")

    @contextlib.contextmanager
    def database(self, name, write=False):
        path = self.database_path(name)
        database = sqlite3.connect(path if write else f"file:{path}?mode=ro", uri=not write, timeout=far(10), isolation_level=None)
        try:
            yield database
        finally:
            database.close()

    def query(self, name, sql, *values):
        with self.database(name) as database:
            return database.execute(sql, values).fetchall()

    def head(self, name):
        """(position, chain) of a service's log, from its file."""
        return (self.query(name, "SELECT position, hex(chain) FROM event_log ORDER BY position DESC LIMIT 1") or [(0, "")])[0]

    def mark(self):
        """Remembers where both logs stand: check() wants those events still there (I4: a prefix, for ever)."""
        for name in SERVICES:
            position, chain = self.head(name)
            if position:
                self.marks.append((name, position, chain))

    @property
    def store(self):
        """The folder of the server's streams."""
        return os.path.join(self.folder, "server", "jetstream")

    def wipe_streams(self):
        """While the server is stopped."""
        shutil.rmtree(self.store)

    def blocks(self, name):
        """The block files of a service's stream, in order."""
        folder = os.path.join(self.store, "$G", "streams", LOG[name], "msgs")
        return sorted((os.path.join(folder, file) for file in os.listdir(folder) if file.endswith(".blk")),
                      key=lambda path: int(os.path.basename(path)[:-4]))

    # ---- A client

    def client(self, name="fault"):
        """A connection of one's own; see scripts/lib/journey/natsline.py."""
        return Connection(self.url, name)

    def request(self, subject, body, key=None, timeout=3.0, headers=()):
        """One answer as JSON; None when none came in time, {} for the server's "no responders"."""
        answers = self.requests([(subject, body, key, headers)], timeout)
        return answers[0]

    def requests(self, wanted, timeout=3.0):
        """Several requests (subject, body, key, headers) in one go; their answers in this order, None where none came."""
        if self.connection is None:
            self.connection = self.client()
        answers, stamp = {}, os.urandom(4).hex()
        end = time.monotonic() + slower(timeout)
        for i, (subject, body, key, headers) in enumerate(wanted):
            head = [*headers] + ([("Idempotency-Key", key)] if key else [])
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            while not self.connection.request(subject, data, f"{stamp}-{i}", head) and time.monotonic() < end:
                self.connection.poll(0.02)
        while len(answers) < len(wanted) and (left := end - time.monotonic()) > 0:
            for token, _, data in self.connection.poll(min(left, 0.1)):
                if token.startswith(stamp + "-"):
                    answers[int(token.rpartition("-")[2])] = json.loads(data) if data else {}
        return [answers.get(i) for i in range(len(wanted))]

    def ask(self, subject, body=None, key=None, **more):
        """As request, but an answer must come and must be no error."""
        answer = self.request(subject, body, key, **more)
        require(answer and "error" not in answer, f"{subject} {body}: {answer}")
        return answer

    def tell(self, subject, body, key):
        """As request, and what came of it goes into the history that scripts/check reads."""
        answer = self.request(subject, body, key) or None
        if answer is None or answer.get("error", {}).get("code") not in script("load").NOT_NOW:
            with open(self.history, "a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "subject": subject, "body": body, "answer": answer}) + "\n")
        return answer

    def api(self, subject, body=None, timeout=5.0):
        """A call of JetStream's API, $JS.API.SUBJECT."""
        return self.request("$JS.API." + subject, body, timeout=timeout)

    def stream_state(self, name):
        """state of a service's stream (messages, first_seq, last_seq …); None when it is not there."""
        return (self.api(f"STREAM.INFO.{LOG[name]}") or {}).get("state")

    def stats(self, name, timeout=1.0):
        """What a service says of itself: state, position, published, outbox, sources …; None when it does not answer."""
        reply = self.request(f"$SRV.STATS.{name}", None, timeout=timeout) or {}
        return next((e["data"] for e in reply.get("endpoints", []) if e.get("data")), None)

    def state(self, name):
        return (self.stats(name) or {}).get("state")

    def answers(self, name):
        return self.stats(name, 0.5) is not None

    def wait_state(self, name, state="ready", seconds=20):
        wait_until(lambda: self.state(name) == state, lambda: f"{name} is {state}; it says {self.stats(name)}", seconds)

    def wait_ready(self, seconds=20):
        for name in SERVICES:
            self.wait_state(name, seconds=seconds)

    def wait_takes(self, name, seconds=10):
        """Waits until a service takes commands; the seconds that it took."""
        start = time.monotonic()
        subject, body = {"account-svc": ("account.close", {"account_id": "acc_nobody"}),
                         "order-svc": ("order.cancel", {"order_id": "ord_nobody"})}[name]

        def takes():
            code = (self.request(subject, body, timeout=0.2) or {}).get("error", {}).get("code")
            return code is not None and code not in script("load").NOT_NOW
        wait_until(takes, f"{name} takes requests", seconds, 0.005)
        return time.monotonic() - start

    # ---- Load, quiet, check

    def load(self, seconds=2.0, rate=150, seed=1, in_flight=32, ends=False):
        load = Load(self, seconds, rate, seed, in_flight, ends)
        self.helpers.append(load.process)
        return load

    def wait_orders(self, count=20, seconds=20):
        """Waits until so many events are in order-svc's log: the load is in full flow."""
        wait_until(lambda: os.path.exists(self.database_path("order-svc")) and self.head("order-svc")[0] >= count,
                   f"{count} events at order-svc", seconds)

    def customer(self, tokens=("tok_ok",), name="Ada"):
        """Registers one customer with cards; waits until order-svc knows them. The account's id."""
        account = self.ask("account.register", {
            "name": name, "email": f"{os.urandom(4).hex()}@example.org", "birthday": "1965-12-10",
            "address": {"street": "1 Market Street", "city": "Bremen", "postal_code": "28195", "country": "DE"}})["account_id"]
        for token in tokens:
            self.ask("account.add-card", {"account_id": account, "card_token": token, "brand": "visa", "last4": "4242",
                                          "expires": "2099-12"})
        wait_until(lambda: self.query("order-svc", "SELECT count(*) FROM customer_cards WHERE account_id = ?", account)[0][0]
                   == len(tokens), "order-svc knows the customer's cards")
        return account

    def product(self, sku="tea", stock=1000):
        self.ask("order.add-product", {"sku": sku, "name": "Tea", "price": {"amount": 450, "currency": "EUR"}, "stock": stock})
        return sku

    def order(self, account, sku="tea", quantity=1, key=None):
        """One order; the answer."""
        key = key or "fault-" + os.urandom(6).hex()
        return self.tell("order.place", {"account_id": account, "lines": [{"sku": sku, "quantity": quantity}]}, key)

    def quiet(self, seconds=40):
        """Waits until nothing is under way any more (I12)."""
        view = meshview.Mesh(self.folder)
        view.environment = dict(self.environment(), NATS_URL=view.url)
        reason = script("check").come_to_rest(view, far(seconds))
        require(reason is None, f"the mesh does not come to rest: {reason}")

    def again(self):
        """Every answered key once more: the answers have to be the same (I3)."""
        self.command("load", "--again", "--history", self.history, "--server", self.url)

    def command(self, name, *arguments, code=0):
        done = subprocess.run([os.path.join(SCRIPTS, name), *arguments], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=far(180))
        require(done.returncode == code, f"scripts/{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def check(self, wait=40):
        """The end of each test: quiet, scripts/check, and what that one cannot see."""
        for name in ("server",) + SERVICES:
            require(name in self.may_be_down or self.runs(name), f"{name} does not run any more:\n{self.log_text(name)[-600:]}")
        said = self.command("check", "--dir", self.folder, "--wait", str(wait))
        for name, position, chain in self.marks:
            found = self.query(name, "SELECT hex(chain) FROM event_log WHERE position = ?", position)
            require(found == [(chain,)], f"{name}: event {position} is not the one that it was (I4)")
        self.check_logs()
        return said

    def check_logs(self):
        """I16, and what a sanitizer says in a log."""
        for name in SERVICES:
            with open(os.path.join(self.folder, "log", name + ".log"), "rb") as file:
                text = file.read()
            for pattern, what in ((SECRETS, "a secret or a personal datum"), (CONTROL, "a raw control character"),
                                  (re.compile(rb"runtime error:|(Address|Leak|Thread)Sanitizer"), "a sanitizer's words")):
                found = pattern.search(text)
                require(not found, f"{name}'s log holds {what}: {found and text[max(0, found.start() - 80):found.end() + 120]!r}")

    # ---- The end

    def down(self):
        """Everything ends; called by the runner, whatever happened."""
        if self.connection:
            self.connection.close()
        for helper in self.helpers:
            if helper.poll() is None:
                helper.kill()
                helper.wait()
        try:
            self.script("down", may_fail=True)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"the mesh cannot be taken down: {error!r}")     # what is left is found by its mark
        alive = leftovers()
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False)
        return alive
