"""Rows of the disk below a service: full, failing, cut off from power; and of its memory. strace
makes the running service's system calls fail, and is attached and detached beside it. The power cut
here is the simulation's, whose disk forgets what was not synced. rows_disk.py has the same faults
by a file system of SQLite's, call by call."""
import contextlib
import os
import subprocess

import kit
from kit import needs, require, wait_until


@contextlib.contextmanager
def failing(mesh, name, calls, error, when=""):
    """Within this block, such system calls of the service on its database and WAL fail. Yields a
    function that counts the failed calls."""
    path, said = mesh.database_path(name), os.path.join(mesh.folder, "log", "strace.log")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(said)
    tracer = subprocess.Popen([
        "strace", "-f", "-qq", "-o", said, "-p",
        str(mesh.pid(name)), "-P", path, "-P", path + "-wal", "-e", f"trace={calls}", "-e",
        f"inject={calls}:error={error}{when}"
    ], stderr=subprocess.DEVNULL)

    def count():
        with contextlib.suppress(FileNotFoundError), open(said, "rb") as file:
            return file.read().count(b"INJECTED")
        return 0
    try:
        yield count
    finally:
        tracer.terminate()
        try:
            tracer.wait(5)
        except subprocess.TimeoutExpired:              # strace was detaching from an ended process
            tracer.kill()
            tracer.wait(5)


def disk_full(mesh, full):
    """Under load the disk is full for a while; the service stays the same process, reports the
    fault, and goes on when there is space."""
    load = mesh.load(seconds=4, rate=80)
    mesh.wait_orders(60)
    mesh.mark()
    pid, size = mesh.pid("order-svc"), mesh.log_size("order-svc")
    with full():
        wait_until(lambda: mesh.log_has("order-svc", "event=degraded", size),
                   "order-svc logs that it is degraded", 20)
        wait_until(lambda: mesh.state("order-svc") == "degraded", "its state is degraded", 10)
        wait_until(
            lambda: (mesh.request("order.receive-stock", {"sku": "none", "quantity": 1}) or {}).get(
                "error", {}).get("code") == "busy", "a command gets `busy`", 10)
        require("products" in mesh.ask("order.products", {}), "queries go on")
    wait_until(lambda: mesh.log_has("order-svc", "event=recovered", size),
               "order-svc recovers by itself", 20)
    load.finish()
    require(mesh.pid("order-svc") == pid, "order-svc was restarted")
    mesh.check()


@needs("strace", "root", slow=True)
def fault_22_disk_full_at_every_write(mesh):
    """Every write of a service fails with ENOSPC for a while, under load. Requests are refused as
    `busy`, no change is made by half, and the service recovers by itself, also without any
    request."""
    mesh.up()

    @contextlib.contextmanager
    def full():
        with failing(mesh, "order-svc", "pwrite64", "ENOSPC") as count:
            yield
            require(count() > 0, "the fault had no effect")
    disk_full(mesh, full)


@needs("root", slow=True)
def fault_22_disk_full_for_real(mesh):
    """A service's folder is a small disk that another program fills under load, and empties
    again."""
    try:
        mesh.mount_tmpfs(mesh.data("order-svc"), "24m")
    except subprocess.CalledProcessError:
        raise kit.Skipped("no tmpfs can be mounted") from None
    mesh.up()
    filler = os.path.join(mesh.data("order-svc"), "filler")

    @contextlib.contextmanager
    def full():
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
        os.unlink(filler)
    disk_full(mesh, full)


def dies_and_settles(mesh, calls, nths):
    """A commit that fails half way ends the process without an answer; the restart determines the
    outcome, and the retries get their answers."""
    mesh.up()
    load = mesh.load(seconds=3, rate=80)
    mesh.wait_orders(60)
    deaths = 0
    for nth in nths:
        mesh.wait_takes("order-svc", 20)
        mesh.mark()
        size = mesh.log_size("order-svc")
        with failing(mesh, "order-svc", calls, "EIO", f":when={nth}+"):
            more = mesh.load(seconds=0.5, seed=nth + 10)
            wait_until(lambda: not mesh.runs("order-svc"), "order-svc ends", 20)
        require(mesh.log_has("order-svc", "event=commit_unknown", size),
                "order-svc ended for another reason")
        deaths += 1
        mesh.start("order-svc")
        more.finish()
    load.finish()
    mesh.check()
    return f"{deaths} deaths"


@needs("strace", "root", "no sanitizer", slow=True)
def fault_23_write_errors(mesh):
    """From the nth write on, every write of a service fails with EIO, under load, for several n.
    The service ends without an answer; the restart finds an intact log, and every retry gets its
    answer."""
    return dies_and_settles(mesh, "pwrite64", (1, 2, 5, 9))


@needs("strace", "root", "no sanitizer", slow=True)
def fault_24_syncs_fail(mesh):
    """From the nth sync on, every sync of a service fails, under load, for several n. The outcome
    of the commit is unknown: no answer is sent, the process ends, and the restart determines the
    outcome (I3)."""
    return dies_and_settles(mesh, "fdatasync,fsync", (1, 2, 4))


def program(mesh, *path):
    found = os.path.join(mesh.build, "tests", *path)
    if not os.path.exists(os.path.join(mesh.build, "tests")):
        raise kit.Skipped("this build has no tests")
    require(os.path.exists(found), f"there is no {found}")
    return found


def fault_25_power_cut(mesh):
    """In the simulation: the power is cut, and unsynced data is lost, sector by sector, also during
    a write or a recovery. Every answered request is there. Without the sync before the reply
    (synchronous=NORMAL) the checks must fail."""
    simulate = program(mesh, "sim", "simulate")
    done = subprocess.run([simulate, "--runs", "40", "--seed", "2500"], capture_output=True,
                          text=True, check=False, timeout=kit.far(280))
    require(done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
    for seed in range(1, 60):
        cut = subprocess.run([simulate, "--without", "sync_before_reply", "--seed",
                              str(seed)], capture_output=True, check=False, timeout=kit.far(60))
        if cut.returncode == 1:
            said = done.stdout.strip().splitlines()[-1]
            return f"with the sync: {said}; without the sync seed {seed} fails"
    raise kit.Failed("the checks pass without the sync")


def fault_26_malloc_fails(mesh):
    """Through the journeys of both services every 13th allocation fails in turn (every one: the
    programs without an argument). A failed step succeeds when it is retried; the tables are the
    fold of the log."""
    for name in ("account", "order"):
        journeys = program(mesh, "unit", "fault_calls", f"fault_26_malloc_fails_{name}")
        done = subprocess.run([journeys, "13"], capture_output=True, text=True, check=False,
                              timeout=kit.far(280))
        require(done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:])
