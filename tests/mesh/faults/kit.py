"""Kit: shared by the tests of faults: a mesh, a load, a client, waiting, the external check.

A row of the catalogue is a function in a file rows_*.py, discovered by its name:

    from kit import needs, wait_until

    @needs("crash points")                    # without it the test is skipped; see NEEDS
    def fault_13_stores_wiped(mesh):
        '''What is done, and what must hold: the report takes this text.'''
        mesh.up()                             # a new mesh: folder, port, programs
        load = mesh.load(seconds=2)           # customers, in the background
        mesh.kill("server"); mesh.wipe_streams(); mesh.start("server")
        load.finish()                         # every request has its answer
        mesh.check()                          # settled, scripts/check, the logs, all processes run

`scripts/faults` runs each test in its own process and removes the mesh afterwards. A test waits for
conditions, each with a bound, and never for a fixed time. A test fails by an exception; `require`
raises one with a message.
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

from basics import (FULL, LOG, MARK, NEEDS, NOBODY, READER, ROOT, SCRIPTS, SERVICES, Failed,
                    Skipped, address_of, faketime_library, is_sanitized, leftovers, let_pass,
                    logged, needs, order_of, require, require_clean_log, script, wait_until)
from load import Load
from journey import meshview                        # basics has put scripts/lib on the path
from journey.natsline import Connection
from journey.patience import far, slower
from journey.retrying import NOT_NOW

__all__ = [
    "FULL", "LOG", "MARK", "NEEDS", "READER", "ROOT", "SCRIPTS", "SERVICES", "Connection", "Failed",
    "Load", "Mesh", "Skipped", "address_of", "faketime_library", "far", "is_sanitized", "json",
    "leftovers", "let_pass", "logged", "needs", "order_of", "os", "require", "script", "slower",
    "subprocess", "wait_until"
]


# ---- A mesh --------------------------------------------------------------------------------------

class Mesh:
    """A mesh in its own folder, run by scripts/mesh. Nothing runs before up()."""

    def __init__(self, folder, build):
        self.folder, self.build = os.path.realpath(folder), os.path.realpath(build)
        self.history = os.path.join(self.folder, "history.jsonl")
        self.programs = self.build                       # the folder of the programs that run
        # From a service's next start on: more environment, more flags, the command that runs the
        # service (["strace", "-o", "/dev/null"]); and another nats-server.
        self.env = {name: {} for name in SERVICES}
        self.flags = {name: [] for name in SERVICES}
        self.prefix = {name: [] for name in SERVICES}
        self.server_program = None
        self.run_in = []  # runs scripts/mesh: ["ip", "netns", "exec", "x"]
        self.marks = []  # (log, position, chain) that must stay in the log
        self.may_be_down = set()  # services that check() does not expect to run
        self.mounts, self.helpers = [], []  # helpers: processes beside it that end with the test
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
        for name in ("NATS_URL", "NATS_CONTEXT", "JOURNEY_MESH_URL", "JOURNEY_CRASH_AT",
                     "NATS_SERVER"):
            environment.pop(name, None)
        environment["PATH"] = os.pathsep.join(
            [os.path.join(ROOT, ".tools", "bin"), environment["PATH"], "/usr/sbin"])
        environment["XDG_CONFIG_HOME"] = os.path.join(self.folder, "xdg")
        if self.server_program:
            environment["NATS_SERVER"] = self.server_program
        for name in SERVICES:
            environment[name.upper().replace("-", "_") + "_FLAGS"] = " ".join(self.flags[name])
        return environment

    def program(self, name):
        return os.path.join(self.programs, name, name)

    def be_breakable(self):
        """From the next start on the services are those of tests/mesh/breakable: see disk.py and
        guards.py."""
        self.programs = os.path.join(self.build, "tests", "mesh", "breakable")
        if not os.path.exists(self.program("order-svc")):
            raise Skipped("this build has no tests")
        for name in SERVICES:
            self.set_clock(name, 0)
            self.env[name]["JOURNEY_CLOCK"] = os.path.join(self.folder, "clock-" + name)
        return self

    def set_clock(self, name, ahead_ms):
        """Sets a breakable service's wall clock ahead (or behind) from now on."""
        with open(os.path.join(self.folder, "clock-" + name), "w", encoding="utf-8") as file:
            file.write(str(ahead_ms))

    def write_programs(self):
        """Writes the programs that scripts/mesh starts: the built ones, with the test's prefix."""
        for name in SERVICES:
            path = os.path.join(self.folder, "programs", name, name)
            words = [f"{key}={value}" for key, value in self.env[name].items()]
            line = shlex.join((["env"] + words if words else []) + self.prefix[name]
                              + [self.program(name)])
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexec {line} \"$@\"\n")
            os.chmod(path + ".new", stat.S_IRWXU)
            os.replace(path + ".new", path)

    def script(self, *arguments, may_fail=False):
        """Runs scripts/mesh --dir … ARGUMENTS and returns its output."""
        self.write_programs()
        done = subprocess.run(
            self.run_in + [os.path.join(SCRIPTS, "mesh"), "--dir", self.folder, *arguments],
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=far(120))
        if done.returncode != 0 and not may_fail:
            raise Failed(
                f"scripts/mesh {' '.join(arguments)}: {(done.stdout + done.stderr).strip()}")
        return done.stdout + done.stderr

    def server_config(self, text, server="server"):
        """Adds lines to the server's configuration, from its next start (or reload) on; the last
        value of a setting counts."""
        os.makedirs(os.path.join(self.folder, server), exist_ok=True)
        with open(os.path.join(self.folder, server, "extra.conf"), "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def write_server_config(self, text):
        """The same, and reloads the running server (changes its nats.conf, which scripts/mesh
        wrote)."""
        path = os.path.join(self.folder, "server", "nats.conf")
        extra = os.path.join(self.folder, "server", "extra.conf")
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
        """Mounts a small disk at `path` until the end of the test. Needs root."""
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", path],
                       check=True)
        self.mounts.append(path)

    def up(self, *options, wait=True):
        self.script("--port", "0", *options, *([] if wait else ["--no-wait"]), "up")
        return self

    @property
    def servers(self):
        count = int(meshview.Mesh(self.folder).setting("servers"))
        return [f"server-{i + 1}" for i in range(count)] if count > 1 else ["server"]

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
        """Sends SIGKILL; false when the process had ended before."""
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
        """The pid of a running process of the mesh, or None."""
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
        """The resources that must return to their base line (I13): kB, descriptors, threads, bytes
        of the WAL."""
        pid = require(self.pid(name), f"{name} does not run")
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        wal = self.database_path(name) + "-wal"
        return {
            "rss_kb": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
            "fds": len(os.listdir(f"/proc/{pid}/fd")),
            "wal_bytes": os.path.getsize(wal) if os.path.exists(wal) else 0
        }

    # ---- Files

    def log_text(self, name):
        with open(os.path.join(self.folder, "log", name + ".log"), encoding="utf-8",
                  errors="replace") as file:
            return file.read()

    def log_has(self, name, pattern, after=0):
        """Whether a line of the log matches, from the character `after` on (see log_size)."""
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
        database = sqlite3.connect(path if write else f"file:{path}?mode=ro", uri=not write,
                                   timeout=far(10), isolation_level=None)
        try:
            yield database
        finally:
            database.close()

    def query(self, name, sql, *values):
        with self.database(name) as database:
            return database.execute(sql, values).fetchall()

    def head(self, name):
        """(position, chain) of a service's log, from its file."""
        rows = self.query(
            name, "SELECT position, hex(chain) FROM event_log ORDER BY position DESC LIMIT 1")
        return rows[0] if rows else (0, "")

    def mark(self):
        """Remembers the heads of both logs: check() requires that these events are unchanged (I4: a
        prefix, for ever)."""
        for name in SERVICES:
            position, chain = self.head(name)
            if position:
                self.marks.append((name, position, chain))

    @property
    def store(self):
        """The folder of the server's streams."""
        return os.path.join(self.folder, "server", "jetstream")

    def wipe_streams(self):
        """Deletes the streams, while the server is stopped."""
        shutil.rmtree(self.store)

    def blocks(self, name):
        """The block files of a service's stream, in order."""
        folder = os.path.join(self.store, "$G", "streams", LOG[name], "msgs")
        names = [file for file in os.listdir(folder) if file.endswith(".blk")]
        return [os.path.join(folder, file) for file in sorted(names, key=lambda n: int(n[:-4]))]

    # ---- A client

    def client(self, name="fault"):
        """A new connection; see scripts/lib/journey/natsline.py."""
        return Connection(self.url, name)

    def request(self, subject, body, key=None, timeout=3.0, headers=()):
        """One answer as JSON; None after a timeout, {} for the server's "no responders"."""
        answers = self.requests([(subject, body, key, headers)], timeout)
        return answers[0]

    def requests(self, wanted, timeout=3.0):
        """Sends several requests (subject, body, key, headers) at once; returns their answers in
        this order, None for a missing one: after the timeout, or when the connection breaks."""
        self.connection = self.connection or self.client()
        self.connection.poll(0)              # notices that the server has gone meanwhile
        answers, stamp = {}, os.urandom(4).hex()
        end = time.monotonic() + slower(timeout)
        for i, (subject, body, key, headers) in enumerate(wanted):
            head = [*headers] + ([("Idempotency-Key", key)] if key else [])
            data = body if isinstance(
                body, bytes) else b"" if body is None else json.dumps(body).encode()
            while not self.connection.request(subject, data, f"{stamp}-{i}",
                                              head) and time.monotonic() < end:
                self.connection.poll(0.02)
        while (len(answers) < len(wanted) and self.connection.socket
               and (left := end - time.monotonic()) > 0):
            for token, _, data in self.connection.poll(min(left, 0.1)):
                if token.startswith(stamp + "-"):
                    answers[int(token.rpartition("-")[2])] = json.loads(data) if data else {}
        return [answers.get(i) for i in range(len(wanted))]

    def ask(self, subject, body=None, key=None, **more):
        """Like request, but requires an answer that is no error."""
        answer = self.request(subject, body, key, **more)
        require(answer and "error" not in answer, f"{subject} {body}: {answer}")
        return answer

    def tell(self, subject, body, key):
        """Like request, and adds the outcome to the history that scripts/check reads."""
        answer = self.request(subject, body, key) or None
        if answer is None or answer.get("error", {}).get("code") not in NOT_NOW:
            with open(self.history, "a", encoding="utf-8") as file:
                file.write(
                    json.dumps({"key": key, "subject": subject, "body": body, "answer": answer})
                    + "\n")
        return answer

    def api(self, subject, body=None, timeout=5.0):
        """A call of JetStream's API, $JS.API.SUBJECT."""
        return self.request("$JS.API." + subject, body, timeout=timeout)

    def stream_state(self, name):
        """The state of a service's stream (messages, first_seq, last_seq …); None when there is no
        stream."""
        return (self.api(f"STREAM.INFO.{LOG[name]}") or {}).get("state")

    def stats(self, name, timeout=1.0):
        """A service's statistics: state, position, published, outbox, sources …; None without an
        answer."""
        reply = self.request(f"$SRV.STATS.{name}", None, timeout=timeout) or {}
        serving = (reply.get("metadata") or {}).get("serving")
        if serving:                      # a standby was faster than the instance that serves
            reply = self.request(f"$SRV.STATS.{name}.{serving}", None, timeout=timeout) or {}
        return next((e["data"] for e in reply.get("endpoints", []) if e.get("data")), None)

    def state(self, name):
        return (self.stats(name) or {}).get("state")

    def answers(self, name):
        return self.stats(name, 0.5) is not None

    def wait_state(self, name, state="ready", seconds=20):
        wait_until(lambda: self.state(name) == state,
                   lambda: f"{name} is {state}; it says {self.stats(name)}", seconds)

    def wait_ready(self, seconds=20):
        for name in SERVICES:
            self.wait_state(name, seconds=seconds)

    def takes(self, name):
        """Whether a service's writer answers a command now; it is beyond all that it met before."""
        subject, body = {"account-svc": ("account.close", {"account_id": "acc_" + NOBODY}),
                         "order-svc": ("order.cancel", {"order_id": "ord_" + NOBODY})}[name]
        code = (self.request(subject, body, timeout=0.2) or {}).get("error", {}).get("code")
        return code is not None and code not in NOT_NOW

    def wait_takes(self, name, seconds=10):
        """Waits until a service accepts commands; returns the seconds that this took."""
        start = time.monotonic()
        wait_until(lambda: self.takes(name), f"{name} takes requests", seconds, 0.005)
        return time.monotonic() - start

    # ---- Load, settling, check

    def load(self, seconds=2.0, rate=150, seed=1, in_flight=32, ends=False):
        load = Load(self, seconds, rate, seed, in_flight, ends)
        self.helpers.append(load.process)
        return load

    def wait_orders(self, count=20, seconds=20):
        """Waits until order-svc's log has so many events: the load is running."""
        path = self.database_path("order-svc")
        wait_until(lambda: os.path.exists(path) and self.head("order-svc")[0] >= count,
                   f"{count} events at order-svc", seconds)

    def customer(self, tokens=("tok_ok",), name="Ada"):
        """Registers one customer with cards, and waits until order-svc knows the cards. Returns the
        account's id."""
        person = {"name": name, "email": f"{os.urandom(4).hex()}@example.org",
                  "birthday": "1965-12-10", "address": address_of("1 Market Street")}
        account = self.ask("account.register", person)["account_id"]
        card = {"account_id": account, "brand": "visa", "last4": "4242", "expires": "2099-12"}
        for token in tokens:
            self.ask("account.add-card", {**card, "card_token": token})
        count = "SELECT count(*) FROM customer_cards WHERE account_id = ?"
        wait_until(lambda: self.query("order-svc", count, account)[0][0] == len(tokens),
                   "order-svc knows the customer's cards")
        return account

    def product(self, sku="tea", stock=1000):
        self.ask("order.add-product", {
            "sku": sku, "name": "Tea", "price": {"amount": 450, "currency": "EUR"}, "stock": stock
        })
        return sku

    def order(self, account, sku="tea", quantity=1, key=None):
        """Places one order; returns the answer."""
        key = key or "fault-" + os.urandom(6).hex()
        return self.tell("order.place", order_of(account, sku, quantity), key)

    def buyers(self):
        """The open accounts of the load that have a card that pays, as order-svc knows them."""
        return [row[0] for row in self.query(
            "order-svc", "SELECT DISTINCT account_id FROM customers JOIN customer_cards USING"
            " (account_id) WHERE is_open AND is_usable AND token = 'tok_ok'")]

    def quiet(self, seconds=40):
        """Waits until the mesh has settled (I12)."""
        view = meshview.Mesh(self.folder)
        view.environment = dict(self.environment(), NATS_URL=view.url)
        reason = script("check").come_to_rest(view, far(seconds))
        require(reason is None, f"the mesh does not settle: {reason}")

    def again(self):
        """Sends every answered key once more: the answers must be the same (I3)."""
        self.command("load", "--again", "--history", self.history, "--server", self.url)

    def command(self, name, *arguments, code=0):
        done = subprocess.run([os.path.join(SCRIPTS, name), *arguments], env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=far(180))
        require(done.returncode == code,
                f"scripts/{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def check(self, wait=40):
        """The end of each test: the mesh has settled, scripts/check passes, and so do the checks
        that scripts/check cannot do."""
        for name in (*self.servers, *SERVICES):
            require(name in self.may_be_down or self.runs(name),
                    f"{name} does not run any more:\n{self.log_text(name)[-600:]}")
        said = self.command("check", "--dir", self.folder, "--wait", str(wait))
        for name, position, chain in self.marks:
            found = self.query(name, "SELECT hex(chain) FROM event_log WHERE position = ?",
                               position)
            require(found == [(chain,)],
                    f"{name}: event {position} is not the one that it was (I4)")
        self.check_logs()
        return said

    def check_logs(self):
        """I16, and the messages of a sanitizer in a log."""
        for name in SERVICES:
            with open(os.path.join(self.folder, "log", name + ".log"), "rb") as file:
                require_clean_log(name, file.read())

    # ---- The end

    def down(self):
        """Stops everything; called by the runner in any case."""
        if self.connection:
            self.connection.close()
        for helper in self.helpers:
            if helper.poll() is None:
                helper.kill()
                helper.wait()
        try:
            self.script("down", may_fail=True)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"the mesh does not stop: {error!r}")    # leftovers() ends its processes
        alive = leftovers()
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False)
        return alive
