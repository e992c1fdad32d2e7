"""Rows 7 and 21: a service killed while it recovers, and a server whose disk fails. Both use
strace, which counts the system calls."""
import os
import shutil

import kit
from kit import SERVICES, needs, require, wait_until
from rows_server import back

WRITES = "pwrite64,ftruncate,fdatasync,fsync"


def strace(path, calls, nth):
    """The prefix of a service's command: its nth such call on this path kills it. With -D the
    service stays our child, under the pid that we know."""
    return [
        "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", f"trace={calls}", "-e",
        f"inject={calls}:signal=KILL:when={nth}"
    ]


def dies_at(mesh, name, calls, path, nth):
    """The service's next start is killed at its nth such call on this path. Returns whether the
    service died."""
    mesh.prefix[name] = strace(path, calls, nth)
    size = mesh.log_size(name)
    mesh.start(name, wait=False)
    mesh.prefix[name] = []
    wait_until(lambda: not mesh.runs(name) or mesh.log_has(name, "event=ready", size),
               f"{name} dies or is ready", 20)
    return not mesh.runs(name)


def killed_everywhere(mesh, name, prepare, path, calls=WRITES, nths=(1, 2, 3, 5, 8, 13),
                      min_deaths=3):
    """Prepares and kills the start for each n, at ever later calls, each time twice in a row; the
    last start succeeds."""
    deaths = 0
    for nth in nths:
        prepare()
        for _ in range(2):
            if dies_at(mesh, name, calls, path, nth):
                deaths += 1
            else:
                mesh.kill(name)
    require(deaths >= min_deaths,
            f"only {deaths} of {2 * len(nths)} starts were killed: the fault had no effect")
    mesh.start(name)
    mesh.wait_ready()
    return deaths


@needs("strace", slow=True)
def fault_07_killed_in_checkpoint(mesh):
    """The service is killed repeatedly while the WAL is checkpointed into the database, under load
    or at a stop. No data is missing or torn."""
    mesh.up()
    mesh.load(seconds=0.5).finish()
    for i, nth in enumerate((1, 2, 5, 9)):
        mesh.stop("order-svc")
        mesh.prefix["order-svc"] = strace(mesh.database_path("order-svc"), "pwrite64", nth)
        size = mesh.log_size("order-svc")
        mesh.start("order-svc", wait=False)
        mesh.prefix["order-svc"] = []
        load = mesh.load(seconds=0.5, seed=i + 10, ends=True)
        wait_until(lambda: not mesh.runs("order-svc") or not load.runs(),
                   "the service dies, or the load ends")
        if mesh.runs("order-svc"):
            mesh.stop("order-svc")                     # checkpoints the WAL
        require(not mesh.log_has("order-svc", "event=stopped", size),
                "the service was not killed: the fault had no effect")
        mesh.start("order-svc")
        load.finish()
        mesh.mark()
    mesh.check()


@needs("strace", slow=True)
def fault_07_killed_in_start_up_recovery(mesh):
    """The service is killed twice in a row at ever later points of the start after a crash, while
    SQLite reads the WAL and rebuilds its index."""
    mesh.up()
    mesh.product()
    account = mesh.customer()

    def prepare():
        if not mesh.runs("order-svc"):
            mesh.start("order-svc")
        wait_until(
            lambda: mesh.order(account) and mesh.resources("order-svc")["wal_bytes"] > 200_000,
            "the WAL has something to recover")
        mesh.mark()
        mesh.kill("order-svc")

    killed_everywhere(mesh, "order-svc", prepare,
                      mesh.database_path("order-svc") + "-shm", "ftruncate,pwrite64", nths=(1, 3))
    killed_everywhere(mesh, "order-svc", prepare,
                      mesh.database_path("order-svc") + "-wal", "pread64", nths=(1, 4, 20))
    mesh.check()


@needs("strace")
def fault_07_killed_in_migration(mesh):
    """The service is killed twice in a row at ever later points of the first start, which creates
    the tables. The next start creates them."""
    mesh.up()
    mesh.load(seconds=0.5).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop("order-svc")

    def prepare():
        if mesh.runs("order-svc"):
            mesh.kill("order-svc")
        shutil.rmtree(mesh.data("order-svc"))
        os.makedirs(mesh.data("order-svc"))

    killed_everywhere(mesh, "order-svc", prepare, mesh.database_path("order-svc"), nths=(1, 2, 3),
                      min_deaths=2)
    killed_everywhere(mesh, "order-svc", prepare,
                      mesh.database_path("order-svc") + "-wal", nths=(1, 2, 4, 7, 12, 20))
    mesh.check()


@needs("strace", slow=True)
def fault_07_killed_in_restore(mesh):
    """The service is killed twice in a row at ever later points of a start that rebuilds a lost
    database from the streams."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop("order-svc")

    def prepare():
        if mesh.runs("order-svc"):
            mesh.kill("order-svc")
        shutil.rmtree(mesh.data("order-svc"))
        os.makedirs(mesh.data("order-svc"))

    deaths = killed_everywhere(mesh, "order-svc", prepare,
                               mesh.database_path("order-svc") + "-wal", nths=(40, 60, 90, 130))
    mesh.load(seconds=0.5, seed=2).finish()
    mesh.check()
    return f"{deaths} deaths"


@needs("strace", "root", slow=True)
def fault_21_server_gets_io_errors(mesh):
    """The server's writes to its streams fail with EIO for a while, under load. A newer server
    gives up a stream with its first failed write, and an operator restarts it. The owners republish
    what was not stored."""
    mesh.up()
    load = mesh.load(seconds=6)
    mesh.wait_orders(80)
    paths = [word for name in SERVICES for word in ("-P", mesh.blocks(name)[-1])]
    said = os.path.join(mesh.folder, "log", "strace.log")
    command = ["strace", "-f", "-qq", "-o", said, "-p", str(mesh.pid("server")), *paths,
               "-e", "trace=write,pwrite64,fsync", "-e", "inject=write,pwrite64,fsync:error=EIO"]
    tracer = kit.subprocess.Popen(command, stderr=kit.subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(said) and open(said, "rb").read().count(b"INJECTED") > 0,
                   "writes of the server fail", 15)
        wait_until(lambda: mesh.log_has("order-svc", "event=relay state=waiting"),
                   "order-svc notices", 15)
    finally:
        tracer.terminate()
        tracer.wait(10)
    mesh.mark()
    back(mesh)
    load.finish()
    mesh.check()
