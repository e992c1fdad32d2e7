"""Patience: how long to wait, and how long a thing may take, on a machine that has other work.

A wait for what must come has a limit that only what never comes reaches: tests set PATIENCE high. A
time-out that may well pass, or a time that is judged, is scaled by the load instead: `slower`.
"""
import os

PATIENCE = float(os.environ.get("JOURNEY_PATIENCE", "1"))


def load_factor():
    """How many processes want to run for each processor, at least 1; times JOURNEY_SLOWER, which tests
    of a build with sanitizers set."""
    with open("/proc/loadavg", encoding="ascii") as file:
        minute, _, _, running, _ = file.read().split()
    wanted = max(float(minute), int(running.split("/")[0]))
    return max(1.0, wanted / (os.cpu_count() or 1)) * float(os.environ.get("JOURNEY_SLOWER", "1"))


def far(seconds):
    """The limit of a wait for what must come."""
    return seconds * PATIENCE


def slower(seconds):
    """A time on this machine now: `seconds` where nothing else computes."""
    return seconds * load_factor()
