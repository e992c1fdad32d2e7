"""Meshlogs: the logs of a mesh's processes in the order of time, for scripts/mesh.

    meshlogs.py [--follow] [--since WHEN] [--level LEVEL] FILE…

The lines are those of our services (logfmt or JSON) and of nats-server. A line that has no time of
its own belongs to the line before it."""
import argparse
import collections
import datetime
import heapq
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from journey.terminal import printable_lines, while_watched  # noqa: E402 - the path comes first

LEVELS = ("debug", "info", "warn", "error")
LAST_LINES = 10                        # of each log, where it is followed from now on
LOOK_S = 0.2
OURS = re.compile(r"time=(\S+) level=(\w+) ")
SERVERS = re.compile(r"\[\d+\] (\d{4})/(\d\d)/(\d\d) (\S+) \[(\w+)\] ")
SERVERS_LEVELS = {"FTL": "error", "ERR": "error", "WRN": "warn", "INF": "info", "DBG": "debug",
                  "TRC": "debug"}
SPAN = re.compile(r"(\d+)([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text):
    """A time as text (RFC 3339; without a zone that of this machine), in seconds since 1970."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def since_of(text):
    """10m: so long ago; or a time."""
    span = SPAN.fullmatch(text)
    if span:
        return time.time() - int(span[1]) * SECONDS[span[2]]
    try:
        return seconds_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a span (90s, 10m, 2h, 1d) nor a time (2026-11-29T12:00:00Z)"
        ) from None


def stamp(line):
    """(time, level) of a line; None: it has none."""
    try:
        found = OURS.match(line)
        if found:
            return seconds_of(found[1]), found[2]
        found = SERVERS.match(line)
        if found:
            return (seconds_of(f"{found[1]}-{found[2]}-{found[3]}T{found[4]}"),
                    SERVERS_LEVELS.get(found[5], "info"))
        if line.startswith("{"):
            entry = json.loads(line)
            return seconds_of(entry["time"]), entry["level"]
    except (ValueError, KeyError, TypeError):
        pass
    return None


class Log:
    """One file, read on from where the last read ended; made anew or cut short, from its
    beginning."""

    def __init__(self, path):
        self.path, self.file, self.rest, self.last = path, None, b"", (0.0, "info")
        self.name = os.path.basename(path).removesuffix(".log")

    def is_another(self):
        try:
            there = os.stat(self.path)
        except OSError:
            return False
        have = os.fstat(self.file.fileno())
        return there.st_ino != have.st_ino or there.st_size < self.file.tell()

    def lines(self):
        """(time, name, line, level) of the whole lines that are new."""
        if self.file and self.is_another():
            self.file.close()
            self.file, self.rest = None, b""
        if not self.file:
            try:
                self.file = open(self.path, "rb")
            except OSError:
                return
        for part in self.file:
            self.rest += part
            if not self.rest.endswith(b"\n"):
                return
            line, self.rest = self.rest[:-1].decode("utf-8", "replace"), b""
            self.last = stamp(line) or self.last
            yield self.last[0], self.name, line, self.last[1]


class Reader:
    def __init__(self, options):
        self.logs = [Log(path) for path in options.files]
        self.since = options.since
        self.worst = LEVELS.index(options.level)
        self.width = max(len(log.name) for log in self.logs) if len(self.logs) > 1 else 0

    def wanted(self, log):
        for at, name, line, level in log.lines():
            rank = LEVELS.index(level) if level in LEVELS else 1
            if rank >= self.worst and (self.since is None or at >= self.since):
                yield at, name, line

    def show(self, lines):
        for _, name, line in lines:
            head = f"{name:{self.width}} | " if self.width else ""
            sys.stdout.write(head + printable_lines(line) + "\n")
        sys.stdout.flush()

    def newest(self):
        """The last lines of each log, all in the order of time."""
        last = [collections.deque(self.wanted(log), LAST_LINES) for log in self.logs]
        return heapq.merge(*last, key=lambda entry: entry[0])

    def all(self):
        return heapq.merge(*map(self.wanted, self.logs), key=lambda entry: entry[0])


def main():
    parser = argparse.ArgumentParser(add_help=False, prog="mesh logs", usage=argparse.SUPPRESS)
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--since", type=since_of)
    parser.add_argument("--level", choices=LEVELS, default="debug")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    reader = Reader(options)
    with while_watched():
        reader.show(reader.newest() if options.follow and options.since is None else reader.all())
        while options.follow:
            time.sleep(LOOK_S)
            reader.show(reader.all())
    return 0


if __name__ == "__main__":
    sys.exit(main())
