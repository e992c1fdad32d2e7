"""Measuring: what scripts/compare and scripts/bench share: the programs, the machine, and the place of a run in a document."""
import os
import platform
import signal
import subprocess
import sys

from journey import ROOT


def programs_folder():
    """Built now, unless the environment names a folder."""
    if folder := os.environ.get("JOURNEY_BUILD_DIR"):
        return folder
    subprocess.run([str(ROOT / "scripts/setup")], check=True, stdin=subprocess.DEVNULL)
    build = [str(ROOT / "scripts/dev/build"), "release"]
    subprocess.run(build, check=True, stdin=subprocess.DEVNULL)
    return subprocess.run([*build, "--print-dir"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()


def version_of(program, name):
    """Of the line that begins with the name, as `--version` prints it."""
    said = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return next(line.split()[-1].lstrip("v") for line in said.splitlines() if line.startswith(name))


def machine(server, build):
    cpu = "an unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"cores": len(os.sched_getaffinity(0)), "cpu": cpu, "kernel": platform.release().split("-")[0],
            "server": version_of(server, "nats-server"), "sqlite": version_of(f"{build}/order-svc/order-svc", "SQLite"), "load": round(os.getloadavg()[0], 1)}


def command(program, without):
    """How this run was asked for; options that only say where its report goes, and their values, do not belong to it."""
    words, kept = iter(sys.argv[1:]), [program]
    for word in words:
        name = word.split("=")[0]
        if name not in without:
            kept.append(word)
        elif without[name] and "=" not in word:
            next(words, None)
    return " ".join(kept)


def put_into(document, program, text):
    """A run's place in a document is between two marks; what is around them is written by people."""
    begin, end = f"<!-- the run begins: written by {program} --docs -->", "<!-- the run ends -->"
    path = ROOT / "docs" / document
    before, rest = path.read_text(encoding="utf-8").split(begin)
    path.write_text(f"{before}{begin}\n{text}{end}{rest.split(end)[1]}", encoding="utf-8")


def end_by_signals():
    """A signal that asks us to end is an exception, so that everything is put away."""
    def interrupt(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


if __name__ == "__main__":
    sys.exit("measuring.py is a part of scripts/compare and scripts/bench")
