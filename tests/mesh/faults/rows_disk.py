"""Rows of the disk below a real service, by a file system of SQLite's that fails on command
(tests/mesh/breakable): full, failing reads, writes and syncs, torn writes, and a power cut. These
tests need no rights, and run with sanitizers."""
import itertools
import random

import kit
from disk import Disk
from kit import SERVICES, needs, require, wait_until
from rows_store import disk_full

EXIT_IO = "event=(commit_unknown|cannot_start)"


class Customers:
    """A load that goes on for as long as a test needs it."""

    def __init__(self, mesh):
        self.mesh, self.seeds, self.load = mesh, itertools.count(100), None
        self.go_on()

    def go_on(self):
        if self.load is None or not self.load.runs():
            self.finish()
            self.load = self.mesh.load(seconds=4, rate=60, seed=next(self.seeds))

    def finish(self):
        if self.load:
            self.load.finish()


def on_disk(mesh, power=False):
    """A mesh whose services run on faulty disks, under a load. Returns the disks and the
    customers."""
    mesh.be_breakable()
    disks = {name: Disk(mesh, name, power) for name in SERVICES}
    mesh.up()
    customers = Customers(mesh)
    mesh.wait_orders(40)
    return disks, customers


def get_over(mesh, disk, name, plan):
    """Ends the plan, and waits until the service has ended, or is beyond what the plan has done: it
    takes a command. Returns whether it has ended. Its statistics would not do: another thread says
    `ready` until the process is gone, also after a failure of which it dies."""
    disk.plan("")
    wait_until(lambda: not mesh.runs(name) or mesh.takes(name), f"{name} gets over `{plan}`", 20)
    return not mesh.runs(name)


def strike(mesh, disk, customers, name, plan):
    """Applies one plan to a running service until it strikes; afterwards the service has ended
    without an answer and is restarted, or goes on."""
    mesh.mark()
    size = mesh.log_size(name)
    disk.plan(plan)

    def has_struck():
        customers.go_on()
        return disk.struck() > 0 or not mesh.runs(name)
    wait_until(has_struck, f"`{plan}` strikes {name}", 20)
    require(disk.struck(), f"{name} ended before `{plan}`: {mesh.log_text(name)[-600:]}")
    if not get_over(mesh, disk, name, plan):
        return 0
    require(mesh.log_has(name, EXIT_IO, size), f"{name} ended for another reason than `{plan}`")
    mesh.start(name)
    return 1


def strike_at_start(mesh, disk, name, plan):
    """Kills the service, and applies the plan to its recovery from the WAL. The plan strikes or
    not; then the service starts."""
    mesh.kill(name)
    disk.plan(plan)
    mesh.start(name, wait=False)
    wait_until(lambda: not mesh.runs(name) or mesh.answers(name), f"{name} starts or ends", 20)
    struck = disk.struck()
    if get_over(mesh, disk, name, plan):
        mesh.start(name)
        mesh.wait_takes(name)
    return struck


def at_every_call(mesh, operation, errors, full):
    """Each error at the 1st, 2nd … such call of each service, both while the service runs and while
    it recovers."""
    disks, customers = on_disk(mesh)
    deaths = strikes = 0
    for error in errors:
        for nth in range(1, (full if kit.FULL else 2) + 1):
            for name in SERVICES:
                deaths += strike(mesh, disks[name], customers, name, f"{operation} {error} {nth}")
                strikes += 1
            if kit.FULL or nth == 1:
                strike_at_start(mesh, disks[SERVICES[nth % 2]], SERVICES[nth % 2],
                                f"{operation} {error} {nth}")
    customers.finish()
    mesh.check()
    return f"figure: {strikes} strikes, {deaths} ends without an answer"


def fault_22_disk_says_full(mesh):
    """Every change of a service's files fails for lack of space, under load. Requests are refused
    as `busy`, the state is `degraded`, queries are answered, and the service recovers by itself."""
    mesh.be_breakable()
    disk = Disk(mesh, "order-svc")
    mesh.up()

    @kit.contextlib.contextmanager
    def full():
        disk.plan("change full 1 0")
        yield
        require(disk.struck() > 0, "the fault had no effect")
        disk.plan("")
    disk_full(mesh, full)


def fault_23_every_write(mesh):
    """The nth write of a running service fails: EIO, half of it written and EIO, half of it and no
    space; for the first writes, in a full run for the first 30. The same happens while the service
    recovers from a kill."""
    return at_every_call(mesh, "write", ("io", "torn", "short"), 30)


@needs(slow=True)
def fault_23_every_read(mesh):
    """The nth read of a service fails with EIO while the service recovers from a kill, for some
    reads; in a full run for each of the first 60. The service logs why it ends, or goes on. A
    running service has its pages in memory, and reads next to nothing."""
    disks, customers = on_disk(mesh)
    struck = 0
    for nth in range(1, 61) if kit.FULL else (1, 2, 4, 8, 16, 32):
        customers.go_on()
        for name in SERVICES:
            mesh.mark()
            struck += strike_at_start(mesh, disks[name], name, f"read io {nth}")
    customers.finish()
    require(struck > 0, "no read has failed")
    mesh.check()
    return f"figure: {struck} reads failed"


@needs(slow=True)
def fault_24_every_sync_then_power_cut(mesh):
    """The nth sync of a service fails, and the unsynced data is lost for good, whatever later syncs
    return. The service ends without an answer; then the power is cut, and unsynced data is kept or
    lost, sector by sector. For the first syncs; in a full run the first 30."""
    disks, customers = on_disk(mesh, power=True)
    danger = 0
    nths = range(1, (30 if kit.FULL else 3) + 1)
    for nth in nths:
        name, size = SERVICES[nth % 2], mesh.log_size(SERVICES[nth % 2])
        mesh.mark()
        disks[name].plan(f"sync lost {nth} 0")

        def has_ended(name=name):
            customers.go_on()
            return not mesh.runs(name)
        wait_until(has_ended, f"{name} ends", 20)
        require(mesh.log_has(name, EXIT_IO, size), f"{name} ended for another reason")
        danger += disks[name].cut_power(seed=nth)
        disks[name].plan("")
        mesh.start(name)
        mesh.wait_takes(name)
    customers.finish()
    require(danger > 0, "nothing was in danger")
    mesh.check()
    return f"figure: {len(nths)} syncs failed, {danger} changes in danger"


def fault_25_power_cut_on_a_service(mesh):
    """The power of a running service is cut under load, at random, during a write or before a sync:
    unsynced data is lost, or kept sector by sector. Every answered request is there; with NORMAL
    instead of FULL it is not: see `sync_before_reply` below."""
    disks, customers = on_disk(mesh, power=True)
    draw, danger, cuts = random.Random(25), 0, 100 if kit.FULL else 6
    for cut in range(cuts):
        name = SERVICES[draw.randrange(2)]
        mesh.mark()
        disks[name].plan(
            f"{draw.choice(('write', 'wal-write', 'sync', 'change'))} kill {draw.randrange(1, 30)}")

        def is_dead(name=name):
            customers.go_on()
            return not mesh.runs(name)
        wait_until(is_dead, f"{name} is killed", 20)
        danger += disks[name].cut_power(seed=None if cut % 3 == 0 else cut)
        disks[name].plan("")
        mesh.start(name)
        mesh.wait_takes(name)
    customers.finish()
    require(danger > 0, "nothing was in danger")
    mesh.check()
    return f"figure: {cuts} cuts, {danger} changes in danger"
