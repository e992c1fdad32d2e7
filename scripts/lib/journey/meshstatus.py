"""Meshstatus: how the processes of a mesh are, for scripts/mesh: once as JSON, or again and again.

    meshstatus.py status DIR              one JSON object
    meshstatus.py watch DIR [--json] [--count N]

A look is one request ($SRV.STATS) that all services answer, and a glance at the pid files."""
import datetime
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import tty

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from journey.meshview import Mesh  # noqa: E402 - the path comes first
from journey.patience import slower  # noqa: E402 - the path comes first
from journey.terminal import printable, while_watched  # noqa: E402 - the path comes first

SERVICES = ("account-svc", "order-svc")
PERIOD_S = 1.0
ANSWER_S = 0.8                         # how long a look waits for a service that is silent
COLUMNS = (("PROCESS", 14), ("PID", 8), ("STATE", 9), ("SERVICE", 10), ("ROLE", 9), ("TERM", 5),
           ("REQ/S", 8), ("ERR/S", 7), ("MS EACH", 8), ("EVENTS/S", 9), ("OUTBOX", 7), ("QUEUE", 6),
           ("PARKED", 7), ("LAG", 0))


# ---- A look --------------------------------------------------------------------------------------

def process_state(path):
    """(pid, state) by a pid file, "PID START", whose second number tells a pid that is used again
    (scripts/lib/lib.sh)."""
    try:
        with open(path, encoding="utf-8") as file:
            pid, start = file.read().split()
        with open(f"/proc/{int(pid)}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None, "dead"
    if fields[19] != start or fields[0] == "Z":
        return None, "dead"
    return int(pid), "paused" if fields[0] in "Tt" else "running"


def processes(mesh):
    """(name, service, address) of each, service None: a server."""
    url = mesh.url.split(",")
    found = []
    if os.path.exists(os.path.join(mesh.folder, "run", "port")):
        count = int(mesh.setting("servers") or 1)
        found += [("server" if count == 1 else f"server-{i + 1}", None, url[i])
                  for i in range(count)]
    others = [name for name in mesh.service.values() if name not in SERVICES]
    for service in SERVICES + tuple(others):
        names = [service] if mesh.instances <= 1 else [
            f"{service}-{i + 1}" for i in range(mesh.instances)]
        found += [(name, service, os.path.join(mesh.folder, name)) for name in names]
    return found


def statistics(mesh, count):
    """The answers to $SRV.STATS, of as many instances; those that come in time."""
    if count == 0:
        return []
    try:
        done = subprocess.run(
            ["nats", "request", "--raw", "--timeout", f"{slower(ANSWER_S):.1f}s",
             "--replies", str(count), "$SRV.STATS", ""], env=mesh.environment, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=slower(5))
    except subprocess.TimeoutExpired:
        return []
    answers, decoder, text = [], json.JSONDecoder(), done.stdout.decode(errors="replace").strip()
    while text:
        try:
            answer, end = decoder.raw_decode(text)
        except ValueError:
            break
        answers.append(answer)
        text = text[end:].strip()
    return answers


def report(answer):
    """What one instance says of itself."""
    endpoints = answer.get("endpoints") or []
    return {"id": answer.get("id"), "version": answer.get("version"),
            "started": answer.get("started"),
            "requests": sum(endpoint.get("num_requests", 0) for endpoint in endpoints),
            "errors": sum(endpoint.get("num_errors", 0) for endpoint in endpoints),
            "processing_ns": sum(endpoint.get("processing_time", 0) for endpoint in endpoints),
            "data": next((endpoint["data"] for endpoint in endpoints if endpoint.get("data")), {})}


def look(mesh):
    rows = []
    for name, service, address in processes(mesh):
        pid, state = process_state(os.path.join(mesh.folder, "run", name + ".pid"))
        rows.append({"process": name, "service": service, "pid": pid, "state": state,
                     "address": address, "report": None})
    running = [row for row in rows if row["service"] and row["state"] == "running"]
    for answer in statistics(mesh, len(running)):
        pid = str((answer.get("metadata") or {}).get("pid"))
        for row in running:
            if answer.get("name") == row["service"] and pid == str(row["pid"]):
                row["report"] = report(answer)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "dir": mesh.folder, "url": mesh.url, "secure": mesh.is_secure, "processes": rows}


# ---- What changed since the look before ----------------------------------------------------------

def rates(row, before, seconds):
    """Adds `rates` to a row that the look before has, too; None: there is nothing to compare."""
    row["rates"] = None
    now, then = row["report"], before and before["report"]
    if not now or not then or before["pid"] != row["pid"] or seconds <= 0:
        return
    requests = now["requests"] - then["requests"]
    spent_ms = (now["processing_ns"] - then["processing_ns"]) / 1e6
    events = now["data"].get("position", 0) - then["data"].get("position", 0)
    row["rates"] = {"requests": round(requests / seconds, 1),
                    "errors": round((now["errors"] - then["errors"]) / seconds, 1),
                    "ms_each": round(spent_ms / requests, 3) if requests > 0 else None,
                    "events": round(events / seconds, 1)}


class Watcher:
    """Looks again and again; remembers the look before, and since when a process is as it is."""

    def __init__(self, mesh):
        self.mesh, self.before, self.at, self.since = mesh, {}, None, {}

    def look(self):
        seen, now = look(self.mesh), time.monotonic()
        for row in seen["processes"]:
            rates(row, self.before.get(row["process"]), now - self.at if self.at else 0)
            state = row["state"]
            if self.since.get(row["process"], (None,))[0] != state:
                self.since[row["process"]] = state, now
            row["state_s"] = round(now - self.since[row["process"]][1], 1)
        self.before = {row["process"]: row for row in seen["processes"]}
        self.at = now
        return seen


# ---- For people ----------------------------------------------------------------------------------

def cells(row):
    data = (row["report"] or {}).get("data", {})
    changes = row.get("rates") or {}
    lag = ", ".join(f"{log} {source.get('lag', '-')}"
                    for log, source in (data.get("sources") or {}).items())

    def shown(value):
        return "-" if value is None else str(value)
    service = data.get("state") or ("-" if not row["service"] or row["state"] != "running"
                                    else "no answer")
    return [row["process"], shown(row["pid"]), row["state"], service, shown(data.get("role")),
            shown(data.get("term")), shown(changes.get("requests")), shown(changes.get("errors")),
            shown(changes.get("ms_each")), shown(changes.get("events")), shown(data.get("outbox")),
            shown(data.get("queue")), shown(data.get("parked")), lag or "-"]


def notes(row):
    """What a service has to say beside the numbers, and how long a process is away."""
    data = (row["report"] or {}).get("data", {})
    texts = [f"{row['state']} for {row['state_s']:.0f} s"] if row["state"] != "running" else []
    texts += [str(data[key]) for key in ("reason", "relay_reason") if data.get(key)]
    texts += [f"{log}: {source['reason']}" for log, source in (data.get("sources") or {}).items()
              if source.get("reason")]
    texts += [str(notice) for notice in data.get("notices") or []]
    return [f"{row['process']}: {text}" for text in texts]


def table(seen, width):
    """The lines of a look: a head, a line a process, and what they have to say."""
    rows = [[title for title, _ in COLUMNS]] + [cells(row) for row in seen["processes"]]
    out = ["".join(f"{printable(text):{size - 1}} " if size else printable(text)
                   for text, (_, size) in zip(row, COLUMNS)) for row in rows]
    out += [printable(text) for row in seen["processes"] for text in notes(row)]
    out = [line.rstrip()[:width] for line in out]
    out[0] = f"\x1b[1m{out[0]}\x1b[0m"
    return out


def line_of(seen, row):
    """One line a process, for who reads them later."""
    names = ("process", "pid", "state", "service", "role", "term", "requests_per_s", "errors_per_s",
             "ms_each", "events_per_s", "outbox", "queue", "parked", "lag")
    pairs = [f"{name}={json.dumps(text, ensure_ascii=False) if ' ' in text else text}"
             for name, text in zip(names, cells(row)) if text != "-"]
    return printable(f"time={seen['time']} " + " ".join(pairs))


class Screen:
    """The alternate screen of a terminal; with `with`, so that the terminal is as before at the
    end, whatever ends it."""

    def __enter__(self):
        self.keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        if self.keys is not None:
            self.before = termios.tcgetattr(self.keys)
            tty.setcbreak(self.keys)
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(self, *_):
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        if self.keys is not None:
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self.before)

    def draw(self, seen):
        width, height = shutil.get_terminal_size()
        head = f"{seen['dir']}  {seen['url']}  {seen['time'][11:19]} UTC  q ends"
        lines = [printable(head)[:width], ""] + table(seen, width)
        body = "".join(line + "\x1b[K\r\n" for line in lines[:height - 1])
        sys.stdout.write("\x1b[H" + body + "\x1b[J")
        sys.stdout.flush()

    def is_left(self, seconds):
        """Waits; True: somebody has pressed q."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self.keys is None:
                time.sleep(rest)
            elif select.select([self.keys], [], [], rest)[0] and \
                    os.read(self.keys, 64)[:1] in (b"q", b"Q", b""):
                return True
        return False


def watch_lines(watcher, as_json, count):
    while count != 0:
        begun = time.monotonic()
        seen = watcher.look()
        print(json.dumps(seen) if as_json
              else "\n".join(line_of(seen, row) for row in seen["processes"]), flush=True)
        count -= 1
        if count != 0:
            time.sleep(max(0.0, PERIOD_S - (time.monotonic() - begun)))


def watch_screen(watcher, count):
    with Screen() as screen:
        while count != 0:
            begun = time.monotonic()
            screen.draw(watcher.look())
            count -= 1
            if count == 0 or screen.is_left(max(0.0, PERIOD_S - (time.monotonic() - begun))):
                return


def main(arguments):
    command, folder, *options = arguments
    mesh = Mesh(folder)
    if command == "status":
        print(json.dumps(look(mesh), indent=2))
        return 0
    as_json = "--json" in options
    count = int(options[options.index("--count") + 1]) if "--count" in options else -1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with while_watched():
        if sys.stdout.isatty() and not as_json:
            watch_screen(Watcher(mesh), count)
        else:
            watch_lines(Watcher(mesh), as_json, count)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
