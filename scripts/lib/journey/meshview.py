"""Meshview: a mesh seen from outside. Streams and replies are read through the nats CLI, logs from
the SQLite files, opened read-only. Nothing here writes, and nothing uses the services' own code.
"""
import base64
import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import time
import urllib.parse

from journey import IS_INSTALLED, ROOT
from journey.headers import cause_of, chain_of
from journey.patience import far, slower

PREFIX = {"ACCOUNT": "account", "ORDER": "order"}
SERVICE = {"ACCOUNT": "account-svc", "ORDER": "order-svc"}
COLUMNS = ("position, chain, id, type, entity, time_ms, correlation, causation, cause, "
           "cause_digest, traceparent, data")


class Event:
    """One event, from a log or from a stream."""

    def __init__(self, position, chain, ident, kind, entity, cause, data, term=0):
        self.position, self.chain, self.id, self.type = position, chain, ident, kind
        self.entity, self.cause, self.data = entity, cause, data
        self.value, self.term = json.loads(data), term     # the term: of a message only

    def same_as(self, other):
        names = ("position", "chain", "id", "type", "entity", "cause", "data")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def default_folder():
    """The folder of the mesh that the environment names (`scripts/mesh env`), else the one that
    scripts/mesh takes unasked."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.environ.get("JOURNEY_MESH_DIR") or (
        os.path.join(home, "journey-mesh") if IS_INSTALLED else os.path.join(ROOT, ".mesh"))


def without_voids(stored):
    """(the stream without its void messages, sequence and id of each of these): a message of a
    lower term behind a TermBegan is void, whoever published it."""
    kept, voids, term = [], [], 0
    for entry in stored:
        event = entry[2]
        if 0 < event.term < term:
            voids.append((entry[0], event.id))
            continue
        kept.append(entry)
        if event.type == "TermBegan":
            term = max(term, event.value["term"])
    return kept, voids


class Mesh:
    def __init__(self, folder, url=None):
        self.folder = folder
        self.is_secure = os.path.exists(os.path.join(folder, "run", "secure"))
        with open(os.path.join(folder, "run", "url"), encoding="utf-8") as file:
            self.url = url or file.read().strip()
        tools, path = os.path.join(ROOT, ".tools", "bin"), os.environ["PATH"]
        if tools not in path.split(os.pathsep):
            path = tools + os.pathsep + path
        self.environment = dict(os.environ, NATS_URL=self.url, PATH=path,
                                XDG_CONFIG_HOME=os.path.join(folder, "xdg"))
        self.environment.pop("NATS_CONTEXT", None)
        if self.is_secure:
            self.environment["NATS_CONTEXT"] = "operator"
        self.instances = int(self.setting("instances") or 1)
        self.calls = 0
        self.voids = {}  # log -> (sequence, id) of the void messages of its stream, once read
        self.prefix, self.service = dict(PREFIX), dict(SERVICE)     # log -> …
        self.meaning = {}  # (log, type) -> what such an event means, of services of --with
        self.learn_services()

    def setting(self, name):
        """What scripts/mesh remembers of the last `up`; "" when it does not."""
        try:
            with open(os.path.join(self.folder, "run", name), encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return ""

    def learn_services(self):
        """Adds the services that `scripts/mesh --with` started, by the contracts they print."""
        folder = os.path.join(self.folder, "run", "with")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            done = subprocess.run([os.path.join(folder, name), "--print-contract"], check=True,
                                  capture_output=True, timeout=far(10))
            contract = json.loads(done.stdout)
            self.prefix[contract["log"]] = contract["prefix"]
            self.service[contract["log"]] = name
            for event in contract["events"]:
                schema = contract["schemas"].get(event["schema"], {})
                self.meaning[contract["log"], event["name"]] = schema.get("description")

    # ---- Through the nats CLI -------------------------------------------------------------------

    def account_of(self, log):
        """The environment in which the nats CLI reaches the stream: in a secure mesh each stream
        is in its service's account, and the context of that name leads there."""
        if not self.is_secure:
            return self.environment
        return dict(self.environment, NATS_CONTEXT=self.service[log])

    def nats(self, *arguments, log=None, limit_s=None):
        """The output of `nats ARGUMENTS`, as bytes; with a log, where its stream is. limit_s: for
        one that is tried again."""
        self.calls += 1
        environment = self.account_of(log) if log else self.environment
        done = subprocess.run(["nats", *arguments], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, check=False, timeout=limit_s or far(120))
        if done.returncode != 0:
            raise RuntimeError(f"nats {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout

    def request(self, subject, body):
        """The reply, decoded; {} when none came."""
        text = self.nats("request", "--raw", "--timeout", f"{slower(5):.0f}s", subject,
                         json.dumps(body) if body != "" else "")
        return json.loads(text) if text.strip() else {}

    def pages(self, subject, body, field):
        """All rows of a paged query."""
        rows, after = [], None
        while True:
            page = {"after": after} if after else {}
            reply = self.request(subject, dict(body, limit=100, **page))
            if field not in reply:
                raise RuntimeError(f"{subject}: {reply or 'no answer'}")
            rows += reply[field]
            after = reply.get("next")
            if not after:
                return rows

    def serving(self, log):
        """The answer to $SRV.STATS of the instance that serves; {} when none answers."""
        subject = f"$SRV.STATS.{self.service[log]}"
        reply = self.request(subject, "")
        serving = (reply.get("metadata") or {}).get("serving")
        return self.request(f"{subject}.{serving}", "") if serving else reply

    def stats(self, log):
        """The status of a service: `data` of $SRV.STATS; None when the service does not answer."""
        endpoints = self.serving(log).get("endpoints", [])
        return next((endpoint["data"] for endpoint in endpoints if endpoint.get("data")), None)

    def stream_info(self, log):
        return json.loads(self.nats("stream", "info", log, "--json", log=log))

    def stream(self, log):
        """The whole stream, as a list of (sequence, subject, Event), without void messages. The CLI
        reads where the server puts its consumer, which in a cluster may be at a replica that is
        still behind."""
        end = time.monotonic() + far(10)
        while True:
            there = self.stream_info(log)["state"]["messages"]
            messages = self.messages(log) if there else []
            if len(messages) >= there or time.monotonic() > end:
                break
        stored = [self.stored(message) for message in messages    # markers are the server's own
                  if "Nats-Marker-Reason" not in (message["Header"] or {})]
        kept, self.voids[log] = without_voids(stored)
        return kept

    def messages(self, log):
        """Now and then the CLI waits for ever for the end of a stream of a busy cluster, and has
        printed nothing; then it is asked again."""
        for last in (False, False, True):
            try:
                text = self.nats("subscribe", "--stream", log, "--all", "--terminate-at-end",
                                 "--dump=-", log=log, limit_s=None if last else slower(120))
                break
            except subprocess.TimeoutExpired:
                if last:
                    raise
        return [json.loads(part) for part in text.split(b"\0") if part.strip()]

    @staticmethod
    def stored(message):
        headers = {key.lower(): urllib.parse.unquote(values[0])
                   for key, values in (message["Header"] or {}).items()}
        sequence = int(message["Reply"].split(".")[5])
        if not {"ce-type", "journey-position", "journey-chain"} <= headers.keys():
            return sequence, message["Subject"], Event(0, "", "", "", "", None, "{}")  # none
        kind = headers["ce-type"].split(".", 1)[1].removesuffix(".v1")
        return sequence, message["Subject"], Event(
            int(headers["journey-position"]), chain_of(headers), headers.get("ce-id"), kind,
            headers.get("ce-subject"), cause_of(headers),
            base64.b64decode(message["Data"]).decode(), int(headers.get("journey-term", 0)))

    # ---- From the SQLite files ------------------------------------------------------------------

    def pid_of(self, process):
        try:
            with open(os.path.join(self.folder, "run", process + ".pid"), encoding="utf-8") as file:
                return file.read().split()[0]
        except (OSError, IndexError):
            return None

    def runs(self, process):
        pid = self.pid_of(process)
        return pid is not None and os.path.exists(f"/proc/{pid}")

    def processes(self, log):
        """The names of all instances of a service."""
        service = self.service[log]
        return [service] if self.instances <= 1 else [
            f"{service}-{i + 1}" for i in range(self.instances)]

    def data_folder(self, log):
        """The folder of the service; of several instances, that of the one that serves. When that
        is not known, of the one whose log has the most events."""
        service = self.service[log]
        if self.instances <= 1:
            return os.path.join(self.folder, service)
        processes = self.processes(log)
        serving = self.serving(log)
        for process in processes:
            if serving and self.pid_of(process) == serving.get("metadata", {}).get("pid"):
                return os.path.join(self.folder, process)
        return max((os.path.join(self.folder, process) for process in processes),
                   key=lambda folder: self.events_in(os.path.join(folder, service + ".db")))

    @staticmethod
    def events_in(path):
        if not os.path.exists(path):
            return -1
        database = sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True)
        try:
            return database.execute("SELECT count(*) FROM event_log").fetchone()[0]
        finally:
            database.close()

    def database_path(self, log):
        return os.path.join(self.data_folder(log), self.service[log] + ".db")

    def database(self, log):
        path = self.database_path(log)
        address = f"file:{urllib.parse.quote(path)}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=far(10))

    def log(self, log):
        """The event log as a list of Events, and the chain that each of them must have."""
        events, chains, before = [], [], bytes(32)
        database = self.database(log)
        for row in database.execute(f"SELECT {COLUMNS} FROM event_log ORDER BY position"):
            position, stored = row[:2]
            fields = (log, str(position)) + row[2:5] + (str(row[5]),) + row[6:]
            form = b"".join(self.field(value) for value in fields)
            chains.append(hashlib.sha256(before + hashlib.sha256(form).digest()).hexdigest())
            before = stored
            events.append(Event(position, stored.hex(), row[2], row[3], row[4], row[8], row[11]))
        database.close()
        return events, chains

    @staticmethod
    def field(value):
        """One field of the canonical form (common/store/event_log.h)."""
        if value is None:
            return b"\xff\xff\xff\xff"
        data = value.encode()
        return struct.pack(">I", len(data)) + data

    def files(self, log):
        folder = self.data_folder(log)
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
