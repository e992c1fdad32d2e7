"""Meshstatus: how the processes of a mesh are, for scripts/mesh: once, or again and again, for
people or as JSON. What is shown is what a look has found (meshlook.py), whoever reads it.

    meshstatus.py status DIR [--json]
    meshstatus.py watch DIR [--json] [--count N]"""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import textwrap
import time
import tty

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from journey import ROOT  # noqa: E402 - the path comes first
from journey.meshlook import look, streams  # noqa: E402 - the path comes first
from journey.meshview import Mesh  # noqa: E402 - the path comes first
from journey.terminal import printable, while_watched  # noqa: E402 - the path comes first

PERIOD_S = 1.0
STATUS_ANSWER_S = 3.0                  # how long `status`, which asks once, waits for a silent one


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


# ---- For people: once ----------------------------------------------------------------------------

def shown_fields(mesh, service):
    """(key, group, form) of what the service's own program marks as shown (statistics_fields.c)."""
    program = mesh.setting(f"program.{service}")
    try:
        done = subprocess.run([program, "--print-status-fields"], check=True, capture_output=True,
                              stdin=subprocess.DEVNULL)
        fields = json.loads(done.stdout)["fields"]
    except (OSError, subprocess.CalledProcessError, ValueError, KeyError):
        return []
    return [(field["key"], field["group"], field["form"]) for field in fields if field["shown"]]


def reported(row, fields):
    """"ready, outbox 0, lag ORDER 0"."""
    data = (row["report"] or {}).get("data") or {}
    texts = [str(data.get(key)) if form == "state" else f"{key} {data.get(key)}"
             for key, group, form in fields if not group]
    texts += [f"{key} {name} {thing.get(key)}" for key, group, _ in fields if group
              for name, thing in (data.get(group) or {}).items()]
    return ", ".join(texts) if data else "-"


def status_lines(seen, fields):
    """A line a process, and a line a stream of a cluster. fields: of each service."""
    rows = [("PROCESS", "PID", "STATE", "ADDRESS", "WAITING")]
    for row in seen["processes"]:
        address = row["address"].removeprefix(f"{ROOT}/")
        rows.append((row["process"], str(row["pid"] or "-"), row["state"], address,
                     reported(row, fields.get(row["service"], []))))
    lines = [f"{printable(a):14} {b:8} {c:8} {printable(d):28} {printable(e)}"
             for a, b, c, d, e in rows]
    if seen["streams"]:
        lines += ["", f"{'STREAM':14} {'LEADER':12} REPLICAS"]
    for one in seen["streams"]:
        replicas = ", ".join(f"{replica['name']} {replica['state']} lag {replica['lag']}"
                             for replica in one["replicas"])
        leader = "-" if one["error"] else one["leader"] or "none"
        lines.append(f"{one['stream']:14} {printable(leader):12} "
                     f"{printable(one['error'] or replicas)}".rstrip())
    return lines


def status(mesh, as_json):
    seen = look(mesh, STATUS_ANSWER_S)
    seen["streams"] = streams(mesh)
    if as_json:
        print(json.dumps(seen, indent=2))
        return
    services = {row["service"] for row in seen["processes"] if row["report"]}
    print("\n".join(status_lines(seen, {name: shown_fields(mesh, name) for name in services})))


# ---- For people: again and again -----------------------------------------------------------------

def lags(data):
    return ", ".join(f"{log} {source.get('lag', '-')}"
                     for log, source in (data.get("sources") or {}).items())


def cells(row):
    """What is shown of a process, by the name of its column."""
    data = (row["report"] or {}).get("data", {})
    changes = row.get("rates") or {}
    service = data.get("state") or ("-" if not row["service"] or row["state"] != "running"
                                    else "no answer")
    found = {"PROCESS": row["process"], "PID": row["pid"], "STATE": row["state"],
             "SERVICE": service, "ROLE": data.get("role"), "TERM": data.get("term"),
             "REQ/S": changes.get("requests"), "ERR/S": changes.get("errors"),
             "MS EACH": changes.get("ms_each"), "EVENTS/S": changes.get("events"),
             "OUTBOX": data.get("outbox"), "QUEUE": data.get("queue"),
             "PARKED": data.get("parked"), "LAG": lags(data) or None}
    return {title: "-" if value is None else printable(value) for title, value in found.items()}


def notes(row):
    """What a service has to say beside the numbers, and how long a process is away."""
    data = (row["report"] or {}).get("data", {})
    texts = [f"{row['state']} for {row['state_s']:.0f} s"] if row["state"] != "running" else []
    texts += [str(data[key]) for key in ("reason", "relay_reason") if data.get(key)]
    texts += [f"{log}: {source['reason']}" for log, source in (data.get("sources") or {}).items()
              if source.get("reason")]
    texts += [str(notice) for notice in data.get("notices") or []]
    return [f"{row['process']}: {text}" for text in texts]


# What a narrow terminal does without, the first first; SERVICE then says what STATE would.
SPARED = ("PID", "STATE", "TERM", "QUEUE", "ERR/S", "MS EACH", "ROLE", "EVENTS/S", "OUTBOX")


def columns_that_fit(rows, width):
    """{title: width} of as many columns as the width takes, each as wide as it must be; what may
    grow from look to look (a rate, a count) has room for six characters."""
    sizes = {title: max(len(title), 6 if title.endswith("/S") else 0,
                        *(len(row[title]) for row in rows)) for title in rows[0]}
    for title in SPARED:
        if sum(sizes.values()) + len(sizes) - 1 <= width:
            break
        del sizes[title]
    return sizes


def table(seen, width):
    """The lines of a look: a head, a line a process, and what they have to say."""
    rows = [cells(row) for row in seen["processes"]]
    sizes = columns_that_fit(rows, width)
    if "STATE" not in sizes:
        for row in rows:
            row["SERVICE"] = row["STATE"] if row["SERVICE"] == "-" else row["SERVICE"]
        sizes = {title: max(size, len(title), *(len(row[title]) for row in rows))
                 for title, size in sizes.items()}
    heads = {title: title for title in rows[0]}
    out = [" ".join(f"{row[title]:{size}}" for title, size in sizes.items()).rstrip()[:width]
           for row in [heads] + rows]
    out[0] = f"\x1b[1m{out[0]}\x1b[0m"
    for row in seen["processes"]:
        for text in notes(row):
            out += textwrap.wrap(printable(text), width, subsequent_indent="    ") or [""]
    spared = [title for title in heads if title not in sizes]
    if spared:
        out += textwrap.wrap(f"({', '.join(spared)}: in a wider terminal)", width)
    return out


def line_of(seen, row):
    """One line a process, for who reads them later."""
    names = ("process", "pid", "state", "service", "role", "term", "requests_per_s", "errors_per_s",
             "ms_each", "events_per_s", "outbox", "queue", "parked", "lag")
    pairs = [f"{name}={json.dumps(text, ensure_ascii=False) if ' ' in text else text}"
             for name, text in zip(names, cells(row).values()) if text != "-"]
    return f"time={seen['time']} " + " ".join(pairs)


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
    as_json = "--json" in options
    if command == "status":
        with while_watched():
            status(mesh, as_json)
        return 0
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
