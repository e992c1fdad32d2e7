"""Patience: time limits on a machine with other work.

A wait for a condition has a far limit, which only a condition that never comes true reaches: tests
set PATIENCE high. A timeout that may pass, or the limit of a measured time, is scaled by the load
instead: `slower`.
"""
import os

PATIENCE = float(os.environ.get("JOURNEY_PATIENCE", "1"))


def load_factor():
    """Runnable processes per processor, at least 1; times JOURNEY_SLOWER, which tests of a build
    with sanitizers set."""
    with open("/proc/loadavg", encoding="ascii") as file:
        minute, _, _, running, _ = file.read().split()
    wanted = max(float(minute), int(running.split("/")[0]))
    return max(1.0, wanted / (os.cpu_count() or 1)) * float(os.environ.get("JOURNEY_SLOWER", "1"))


def far(seconds):
    """The limit of a wait for a condition."""
    return seconds * PATIENCE


def slower(seconds):
    """A time limit on this machine now: `seconds` on an idle machine."""
    return seconds * load_factor()
