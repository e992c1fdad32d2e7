"""Basics: waiting, failing, what a test needs, and the processes that a test may leave behind."""
import contextlib
import functools
import importlib.machinery
import importlib.util
import os
import re
import shutil
import signal
import sqlite3
import sys
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
SCRIPTS = os.path.join(ROOT, "scripts")
sys.path.insert(0, os.path.join(SCRIPTS, "lib"))
# Waits for conditions have far limits, which only a condition that never comes reaches.
os.environ.setdefault("JOURNEY_PATIENCE", "30")
from journey.patience import far  # noqa: E402 - the path comes first

SERVICES = ("account-svc", "order-svc")
LOG = {"account-svc": "ACCOUNT", "order-svc": "ORDER"}          # a service's log and stream
READER = {"ACCOUNT": "order-svc", "ORDER": "account-svc"}        # the reader of a stream
NOBODY = "0" * 8 + 3 * "-0000" + "-" + "0" * 12  # an id that is well formed, so the writer looks
MARK = "JOURNEY_FAULT_TEST"            # every process that a test starts inherits it
FULL = os.environ.get("JOURNEY_FAULTS_FULL") == "1"              # as often as the catalogue says
SECRETS = re.compile(rb"tok_[a-z]|@example\.org|19\d\d-\d\d-\d\d|Market Street")
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


class Failed(Exception):
    """The test has found a failure."""


class Skipped(Exception):
    """The test cannot run here; the text says why."""


def require(condition, what):
    if not condition:
        raise Failed(what)
    return condition


def wait_until(condition, what, seconds=10.0, tick=0.02):
    """Polls condition() until it is true, and returns its value; fails with `what` after
    JOURNEY_PATIENCE times the seconds. A condition that fails because an answer, a member of it or
    a table is not there yet is not true yet."""
    end, error = time.monotonic() + far(seconds), None
    while True:
        try:
            if value := condition():
                return value
        except (KeyError, TypeError, sqlite3.OperationalError) as found:
            error = found
        if time.monotonic() > end:
            raise Failed(f"not within {far(seconds):.0f} s: {what() if callable(what) else what}"
                         + (f" ({error!r})" if error else ""))
        time.sleep(tick)


def logged(mesh, name, pattern, what, after=0):
    """Waits for a line in a service's log (see Mesh.log_has). A thread of its own writes the log:
    what a service has done is seen in its statistics, or from outside, before its line is there."""
    wait_until(lambda: mesh.log_has(name, pattern, after), what, 5)


def let_pass(seconds):
    """Waits for a time that must pass: a pause, a window."""
    time.sleep(seconds)


def require_clean_log(name, text):
    """I16 of a service's log, bytes, and the messages of a sanitizer in it."""
    for pattern, what in ((SECRETS, "a secret or personal data"),
                          (CONTROL, "a raw control character"),
                          (re.compile(rb"runtime error:|(Address|Leak|Thread)Sanitizer"),
                           "a sanitizer's report")):
        found = pattern.search(text)
        near = found and text[max(0, found.start() - 80):found.end() + 120]
        require(not found, f"{name}'s log has {what}: {near!r}")


@functools.cache
def script(name):
    """One of scripts/ as a module."""
    loader = importlib.machinery.SourceFileLoader(f"script_{name}", os.path.join(SCRIPTS, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


# ---- Parts of request bodies ---------------------------------------------------------------------

def address_of(street, city="Bremen", postal_code="28195"):
    return {"street": street, "city": city, "postal_code": postal_code, "country": "DE"}


def order_of(account, sku="tea", quantity=1):
    return {"account_id": account, "lines": [{"sku": sku, "quantity": quantity}]}


# ---- What a test needs ---------------------------------------------------------------------------

def has_crash_points(build):
    with open(os.path.join(build, "order-svc", "order-svc"), "rb") as file:
        return b"JOURNEY_CRASH_AT" in file.read()


def faketime_library():
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                   "/usr/lib"):
        path = os.path.join(folder, "faketime", "libfaketimeMT.so.1")
        if os.path.exists(path):
            return path
    return None


def is_sanitized(build):
    with open(os.path.join(build, "order-svc", "order-svc"), "rb") as file:
        return b"__asan_init" in file.read()


NEEDS = {
    "crash points": lambda build: has_crash_points(build),
    "no sanitizer": lambda build: not is_sanitized(build),   # for libraries that are preloaded
    "root": lambda build: os.geteuid() == 0,
    "faketime": lambda build: faketime_library() is not None,
    "sqlite3": lambda build: shutil.which("sqlite3") is not None,
    "strace": lambda build: shutil.which("strace") is not None,
}


def needs(*names, slow=False):
    """What a test needs, from NEEDS. slow: the test runs only in scripts/faults, not in
    scripts/test."""
    unknown = set(names) - set(NEEDS)
    if unknown:
        raise ValueError(f"unknown needs {unknown}")

    def decorate(function):
        function.needs, function.slow = names, slow
        return function
    return decorate


# ---- Leftover processes --------------------------------------------------------------------------

def marked_processes():
    """(pid, command) of each process that has inherited this test's mark, except this process."""
    mark, found = f"{MARK}={os.environ.get(MARK, '')}".encode(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            if command:
                found.append((int(pid), command))
        except OSError:
            continue                   # the process has ended, or belongs to another user
    return found


def leftovers(seconds=5.0):
    """The processes with this test's mark that are still alive after the test. They are killed one
    by one, and reported."""
    end = time.monotonic() + far(seconds)
    while (found := marked_processes()) and time.monotonic() < end:
        time.sleep(0.05)
    for pid, _ in found:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    return [command for _, command in found]
