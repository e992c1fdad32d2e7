"""Measuring: shared by scripts/compare and scripts/bench: the programs, the machine, and the place
of a run in a document."""
import os
import platform
import signal
import subprocess
import sys
import textwrap
import time

from journey import ROOT

LINE_S = 10.0                          # without a terminal: a line at most so often


class Progress:
    """A progress line on standard error: what runs, and how far it is."""

    def __init__(self, program):
        self.program = program
        self.section, self.label, self.began, self.seconds, self.said = "", "", time.monotonic(
        ), 0.0, 0.0
        self.is_terminal = sys.stderr.isatty()

    def begin(self, label, seconds=0.0):
        self.label, self.began, self.seconds = label or self.label, time.monotonic(), seconds
        self.tick()

    def tick(self):
        now = time.monotonic()
        text = f"{self.section}: {self.label}"
        if self.is_terminal:
            share = min(1.0, (now - self.began) / self.seconds) if self.seconds else 0.0
            bar = f"[{'#' * int(20 * share):.<20}] " if self.seconds else ""
            print(f"\r\033[K{self.program}: {bar}{text}, {now - self.began:.0f} s", end="",
                  file=sys.stderr, flush=True)
        elif now - self.said >= LINE_S:
            self.said = now
            print(f"{self.program}: {text}", file=sys.stderr, flush=True)

    def end(self):
        if self.is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def programs_folder():
    """The folder of the programs: built now, unless the environment names one."""
    if folder := os.environ.get("JOURNEY_BUILD_DIR"):
        return folder
    subprocess.run([str(ROOT / "scripts/setup")], check=True, stdin=subprocess.DEVNULL)
    build = [str(ROOT / "scripts/dev/build"), "release"]
    subprocess.run(build, check=True, stdin=subprocess.DEVNULL)
    return subprocess.run([*build, "--print-dir"], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def version_of(program, name):
    """The version in the line of `--version` that begins with the name."""
    said = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    return next(line.split()[-1].lstrip("v") for line in said.splitlines() if line.startswith(name))


def machine(server, build):
    cpu = "an unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {
        "cores": len(os.sched_getaffinity(0)), "cpu": cpu,
        "kernel": platform.release().split("-")[0], "server": version_of(server, "nats-server"),
        "sqlite": version_of(f"{build}/order-svc/order-svc",
                             "SQLite"), "load": round(os.getloadavg()[0], 1)
    }


def command(program, without):
    """The command line of this run, without the options that only say where the report goes."""
    words, kept = iter(sys.argv[1:]), [program]
    for word in words:
        name = word.split("=")[0]
        if name not in without:
            kept.append(word)
        elif without[name] and "=" not in word:
            next(words, None)
    return " ".join(kept)


def paragraph(text):
    """Prose in lines of at most 100 columns, as in all documents."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def put_into(document, program, text):
    """Replaces a run in a document, between two marks; the text around them is written by hand.
    Without the first mark, the run comes to the end."""
    begin, end = f"<!-- the run begins: written by {program} --docs -->", "<!-- the run ends -->"
    path = ROOT / "docs" / document
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    path.write_text(f"{before}{'' if found else chr(10)}{begin}\n{text}{end}{after}",
                    encoding="utf-8")


def end_by_signals():
    """Turns the signals that end a program into an exception, so that everything is cleaned up."""
    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


if __name__ == "__main__":
    sys.exit("measuring.py is a part of scripts/compare and scripts/bench")
