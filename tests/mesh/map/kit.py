"""Kit: shared by the tests of the map: a mesh of its own, the program, and its event stream."""
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
sys.path.insert(0, os.path.join(ROOT, "scripts", "lib"))
from journey.patience import far, slower  # noqa: E402 - the path comes first

__all__ = ["Failed", "Map", "Mesh", "far", "parts_of", "require", "slower", "wait_until"]


class Failed(Exception):
    """A test has not found what must hold."""


def require(holds, what):
    if not holds:
        raise Failed(what)


def wait_until(condition, what):
    end = time.monotonic() + far(20)
    while not condition():
        require(time.monotonic() < end, f"{what} did not come")
        time.sleep(0.02)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def parts_of(page):
    """The names of the files that the page loads, and those that they load."""
    found = re.findall(r'(?:src|href)="([\w-]+\.(?:js|css))"', page)
    here = os.path.join(ROOT, "common", "map", "page")
    for name in found:
        with open(os.path.join(here, name), encoding="utf-8") as file:
            found += [one for one in re.findall(r'from "\./([\w-]+\.js)"', file.read())
                      if one not in found]
    return found


class Mesh:
    """A mesh in a scratch folder, run by scripts/mesh."""

    def __init__(self, *options, environment=None):
        self.folder, self.keep = tempfile.mkdtemp(prefix="map."), False
        self.environment = {name: value for name, value in os.environ.items()
                            if name not in ("NATS_URL", "NATS_CONTEXT", "JOURNEY_MESH_URL",
                                            "JOURNEY_MESH_DIR")}
        self.environment.update(environment or {})
        self.environment["PATH"] = os.path.join(ROOT, ".tools", "bin") + ":" + os.environ["PATH"]
        self.run("--port", "0", *options, "up")
        with open(os.path.join(self.folder, "run", "url"), encoding="utf-8") as file:
            self.url = file.read().strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("down")
        if self.keep:
            print(f"The mesh is in {self.folder}")
        else:
            shutil.rmtree(self.folder)

    def run(self, *words):
        done = subprocess.run([os.path.join(ROOT, "scripts", "mesh"), "--dir", self.folder, *words],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        require(done.returncode == 0, f"mesh {' '.join(words)}: {done.stderr}")
        return done.stdout

    def pid(self, process):
        with open(os.path.join(self.folder, "run", process + ".pid"), encoding="utf-8") as file:
            return int(file.read().split()[0])

    def rights(self, user):
        """The options of the map as this user of a secure mesh."""
        keys = os.path.join(self.folder, "keys")
        return ["--as", user, "--nkey", os.path.join(keys, user + ".nkey"),
                "--tlsca", os.path.join(keys, "ca.pem"), "--source-api", "{log}.JS.API"]

    def script(self, name, *words):
        done = subprocess.run([os.path.join(ROOT, "scripts", name), "--dir", self.folder, *words],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        require(done.returncode == 0, f"{name} {' '.join(words)}: {done.stderr}")
        return done.stdout

    def write(self, service, statement):
        """Plants something in a service's file."""
        path = os.path.join(self.folder, service, service + ".db")
        database = sqlite3.connect(path, timeout=far(10))
        with contextlib.closing(database), database:
            database.execute(statement)

    def ask_all(self, subject):
        """The answers of all who answer within a second."""
        done = subprocess.run(["nats", "--server", self.url, "request", "--raw", "--replies", "0",
                               "--timeout", f"{slower(1):.1f}s", subject, ""],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def stats(self, service):
        reply = self.ask(f"$SRV.STATS.{service}", "")
        return next(one["data"] for one in reply["endpoints"] if one.get("data"))

    def settle(self, leader_log, log):
        """Waits until the service of leader_log has read all of the other log."""
        service = {"ACCOUNT": "account-svc", "ORDER": "order-svc"}
        head = self.stats(service[log])["position"]
        wait_until(lambda: self.stats(service[leader_log])["sources"][log]["cursor"] >= head,
                   f"{service[leader_log]} reads {log} up to {head}")

    def register(self, name):
        address = {"street": "5 Navy Yard", "city": "Arlington", "postal_code": "22201",
                   "country": "US"}
        return self.ask("account.register", {
            "name": name, "email": f"{name[:3]}@example.org", "address": address})["account_id"]

    def add_card(self, account, token):
        self.ask("account.add-card", {"account_id": account, "card_token": token, "brand": "visa",
                                      "last4": "4242", "expires": "2099-12"})

    def ask(self, subject, body, key=None):
        """The reply of a request; one that is refused is a failure of the test."""
        headers = ["-H", f"Idempotency-Key:{key}"] if key else []
        done = subprocess.run(["nats", "--server", self.url, "request", "--raw", "--timeout",
                               f"{slower(5):.0f}s", *headers, subject,
                               json.dumps(body) if body != "" else ""],
                              env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        reply = json.loads(done.stdout or "{}")
        require(reply and "error" not in reply, f"{subject}: {done.stdout} {done.stderr}")
        return reply


class Events:
    """The event stream, as a browser reads it."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=far(20))
        self.connection.request("GET", "/events")
        self.answer = self.connection.getresponse()
        if self.answer.status != 200:
            self.close()
            raise Failed(f"/events is {self.answer.status}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()
        if hasattr(self, "answer"):
            self.answer.close()

    def next(self):
        """The next picture."""
        while True:
            line = self.answer.readline()
            require(line, "the event stream has ended")
            if line.startswith(b"data: "):
                return json.loads(line[6:])

    def until(self, condition, what):
        end = time.monotonic() + far(30)
        while not condition(picture := self.next()):
            require(time.monotonic() < end, f"{what} is not in the picture: {picture}")
        return picture


class Map:
    """The program, for one mesh."""

    def __init__(self, program, mesh, *options, url=None):
        self.port = free_port()
        self.log = open(os.path.join(mesh.folder, "log", "map.log"), "wb")
        self.process = subprocess.Popen(
            [program, "--server", url or mesh.url, "--http", f"127.0.0.1:{self.port}", *options],
            env=mesh.environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

        def serves():
            require(self.process.poll() is None, f"the map ends: see {self.log.name}")
            try:
                return self.get("/")[0] == 200
            except OSError:
                return False
        wait_until(serves, "the page")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(far(20))
        self.log.close()
        require(code == 0, f"the map ends with {code}: see {self.log.name}")

    def get(self, path, method="GET", headers=None, body=None):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=far(20))
        try:
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def post(self, path, body):
        """(status, reply), as the page asks."""
        status, _, reply = self.get(path, method="POST", body=json.dumps(body).encode(), headers={
            "Content-Type": "application/json", "Origin": f"http://127.0.0.1:{self.port}"})
        return status, json.loads(reply) if reply.startswith(b"{") else reply

    def raw(self, text):
        with socket.create_connection(("127.0.0.1", self.port), timeout=far(20)) as connection:
            connection.sendall(text)
            return connection.recv(65536)

    def events(self):
        return Events(self.port)
