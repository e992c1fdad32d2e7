"""Rows of the services' files: damaged, lost, restored, shared, locked."""
import os
import shutil
import signal
import sqlite3

import kit
from kit import SERVICES, address_of, logged, needs, order_of, require, wait_until

HELD_S = 30 if kit.FULL else 5         # how long a lock or a snapshot is held


# ---- Row 27: damage ------------------------------------------------------------------------------

def damaged_file(mesh, change, name="order-svc"):
    """A mesh whose service was stopped, its WAL checkpointed, and its file then changed by
    change(path)."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop(name)
    change(mesh.database_path(name))


def state_of_damage(mesh, name):
    """Whether the service refuses to write, whether it found the damage at its start or later."""
    answer = mesh.request("order.receive-stock", {"sku": "none", "quantity": 1}, timeout=1.0)
    return not mesh.runs(name) or (answer or {}).get("error", {}).get("code") == "internal"


def lost_and_folded_anew(mesh, name="order-svc"):
    """The operator's repair: the damaged file is removed, and the service rebuilds it from the
    streams."""
    if mesh.runs(name):
        mesh.stop(name)
    for file in os.listdir(mesh.data(name)):
        os.unlink(os.path.join(mesh.data(name), file))
    mesh.start(name)
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


def says_and_refuses(mesh, change):
    damaged_file(mesh, change)
    path = mesh.database_path("order-svc")
    size = mesh.log_size("order-svc")
    mesh.start("order-svc", wait=False)
    account = mesh.query("account-svc", "SELECT account_id FROM accounts LIMIT 1")[0][0]
    sku = "none"

    def found():
        if not mesh.runs("order-svc"):
            return True
        for account_id, in mesh.query("account-svc", "SELECT account_id FROM accounts"):
            mesh.request("order.list", {"account_id": account_id}, timeout=0.5)
            body = {"account_id": account_id, "address": address_of("9 Market Street")}
            mesh.request("account.change-address", body, timeout=0.5)
        return mesh.state("order-svc") == "corrupt"
    wait_until(found, "the service meets the damage", 20)
    logged(mesh, "order-svc", "event=(corrupt|cannot_start|commit_unknown).*",
           "the log does not report the damage", size)
    with open(path, "rb") as file:
        before = file.read()
    if mesh.runs("order-svc"):
        answer = mesh.request("order.receive-stock", {"sku": sku, "quantity": 1}, timeout=1.0)
        require(not mesh.runs("order-svc")
                or (answer or {}).get("error", {}).get("code") == "internal",
                f"a command to a damaged service: {answer}")
        mesh.kill("order-svc")
    with open(path, "rb") as file:
        require(file.read() == before, "the damaged file was written to")
    require(account, "an account")
    lost_and_folded_anew(mesh)


def fault_27_pages_corrupt(mesh):
    """Pages in the middle of the database are overwritten. The service reports corrupt, refuses
    commands, and never writes to the file; after a rebuild from the streams, all is right."""
    def change(path):
        with open(path, "r+b") as file:
            pages = os.path.getsize(path) // 4096
            for page in range(4, pages):
                file.seek(page * 4096)
                file.write(os.urandom(256))
    says_and_refuses(mesh, change)


@needs(slow=True)
def fault_27_database_cut(mesh):
    """The second half of the database is missing. The service reports the damage and refuses
    commands; after a rebuild from the streams, all is right."""
    def change(path):
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2 // 4096 * 4096)
    says_and_refuses(mesh, change)


def killed_with_wal(mesh):
    mesh.up()
    load = mesh.load(seconds=4)
    mesh.wait_orders(100)
    mesh.kill("order-svc")
    path = mesh.database_path("order-svc") + "-wal"
    require(os.path.getsize(path) > 0, "there is no WAL to lose")
    return load, path


@needs(slow=True)
def fault_27_shm_lost(mesh):
    """The -shm file is removed after a kill. SQLite rebuilds it from the WAL, and no data is
    missing."""
    load, _ = killed_with_wal(mesh)
    mesh.mark()
    os.unlink(mesh.database_path("order-svc") + "-shm")
    mesh.start("order-svc")
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_27_wal_lost(mesh):
    """The -wal file is removed after a kill, with everything since the last checkpoint: an older
    database. The service catches up on its own stream before it accepts requests."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mesh.kill("order-svc")
    os.unlink(mesh.database_path("order-svc") + "-wal")
    size = mesh.log_size("order-svc")
    mesh.start("order-svc")
    mesh.wait_ready()
    logged(mesh, "order-svc", "event=relay state=recovering",
           "it did not catch up on its own stream", size)
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


# ---- Row 28: lost, restored ----------------------------------------------------------------------

def lost(mesh, name):
    """A service's folder is removed. The service rebuilds it from the streams, and reacts to no
    event twice."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    mesh.kill(name)
    shutil.rmtree(mesh.data(name))
    load = mesh.load(seconds=2, seed=2)
    size = mesh.log_size(name)
    mesh.start(name)
    load.finish()
    mesh.wait_ready()
    logged(mesh, name, "event=relay state=recovering",
           "the service did not read its own stream", size)
    mesh.check()


@needs(slow=True)
def fault_28_database_lost_order(mesh):
    """order-svc's database is removed. order-svc rebuilds it from both streams before it accepts
    requests, and charges no order twice."""
    lost(mesh, "order-svc")


@needs(slow=True)
def fault_28_database_lost_account(mesh):
    """account-svc's database is removed. account-svc rebuilds it from both streams, and declines no
    card twice."""
    lost(mesh, "account-svc")


def restored(mesh, name):
    mesh.up()
    mesh.load(seconds=1).finish()
    backup = os.path.join(mesh.folder, "backup.db")
    load = mesh.load(seconds=1.5, seed=2)
    command = [mesh.program(name), "--data-dir", mesh.data(name), "backup", backup]
    done = kit.subprocess.run(command, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"backup: {done.stderr}")
    load.finish()
    mesh.quiet()
    mesh.mark()
    mesh.kill(name)
    for file in os.listdir(mesh.data(name)):
        os.unlink(os.path.join(mesh.data(name), file))
    shutil.copy(backup, mesh.database_path(name))
    before = mesh.head(name)[0]
    load = mesh.load(seconds=2, seed=3)
    size = mesh.log_size(name)
    mesh.start(name)
    load.finish()
    mesh.wait_ready()
    marked = [position for service, position, _ in mesh.marks if service == name]
    require(marked and before < max(marked), "the backup is not older")
    logged(mesh, name, "event=relay state=recovering",
           "it did not catch up on its own stream", size)
    mesh.check()


def fault_28_backup_restored_order(mesh):
    """order-svc is started on an older backup, made while it ran. order-svc first catches up on its
    own stream."""
    restored(mesh, "order-svc")


@needs(slow=True)
def fault_28_backup_restored_account(mesh):
    """account-svc is started on an older backup, made while it ran. account-svc first catches up on
    its own stream."""
    restored(mesh, "account-svc")


# ---- Row 29: two at once -------------------------------------------------------------------------

class Second:
    """A second instance of a service, beside the mesh's own."""

    def __init__(self, mesh, name, folder, *flags):
        self.said = open(os.path.join(mesh.folder, "log", f"{name}-second.log"), "w+b")
        self.process = kit.subprocess.Popen(
            [mesh.program(name), "--server", mesh.url, "--data-dir", folder, *flags],
            stdin=kit.subprocess.DEVNULL, stdout=self.said, stderr=self.said,
            env=mesh.environment())

    def text(self):
        self.said.flush()
        with open(self.said.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ended(self):
        return self.process.poll() is not None

    def end(self):
        self.process.terminate()
        self.process.wait()


def fault_29_two_instances_on_one_folder(mesh):
    """A second instance is started on the folder of the first, under load. The second refuses and
    logs the reason; the first goes on."""
    mesh.up()
    load = mesh.load(seconds=2.5)
    mesh.wait_orders(60)
    second = Second(mesh, "order-svc", mesh.data("order-svc"))
    wait_until(lambda: second.ended() or "event=ready" in second.text(),
               "the second instance is ready or has ended", 10)
    require(second.ended() and second.process.returncode not in (0, 1),
            f"the second instance runs on the same file:\n{second.text()}")
    require("cannot_start" in second.text(),
            f"its log has no reason for the refusal:\n{second.text()}")
    load.finish()
    mesh.check()


def take_over(mesh, name):
    """An operator moves a service to a new folder, with a copy of the files, while the old process
    is paused."""
    pid, moved = mesh.pid(name), mesh.data(name) + ".zombie"
    os.rename(mesh.data(name), moved)
    os.makedirs(mesh.data(name))
    for suffix in (".db", ".db-wal"):
        if os.path.exists(os.path.join(moved, name + suffix)):
            shutil.copy(os.path.join(moved, name + suffix), mesh.data(name))
    os.unlink(os.path.join(mesh.folder, "run", name + ".pid"))
    mesh.start(name, wait=False)
    return pid, os.path.join(moved, name + ".db")


NOT_YET = ("internal", "busy", None)   # at a fork; of one that starts anew; lost with a former one


@needs(slow=True)
def fault_29_zombie_comes_back(mesh):
    """An instance is paused (SIGSTOP), a second takes over with a copy of its folder; then the
    first is resumed. The stream fences it, and it hears the second: it steps back or becomes
    forked, and writes no more. Everything that it accepted before is in its own log, for an
    operator to see."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    account, sku = mesh.buyers()[0], mesh.product("mug")
    mesh.quiet()
    mesh.pause("order-svc")
    zombie, zombie_file = take_over(mesh, "order-svc")
    wait_until(lambda: mesh.log_text("order-svc").count("event=ready") == 2,
               "the second instance is ready")
    accepted = {}

    def order():
        key = f"fault-29-{len(accepted)}-{os.urandom(3).hex()}"
        answer = mesh.request("order.place", order_of(account, sku), key, timeout=0.2) or {}
        if "position" in answer:
            accepted[key] = answer
        return answer

    for _ in range(20):  # the queue group gives half of these to the zombie
        order()
    require(accepted, "the second instance has accepted nothing")
    os.kill(zombie, signal.SIGCONT)
    try:
        fenced = "level=error .*event=relay state=forked .*reason=|event=stepping_back serving="
        wait_until(lambda: order() and mesh.log_has("order-svc", fenced),
                   "the zombie becomes forked or steps back", 20)
        for _ in range(20):
            answer = order()
            require("position" in answer or answer.get("error", {}).get("code") in NOT_YET,
                    f"an order at a fork: {answer}")
    finally:
        os.kill(zombie, signal.SIGKILL)
    database = sqlite3.connect(f"file:{zombie_file}?mode=ro", uri=True)
    fork = dict(database.execute("SELECT cause, position FROM event_log"))
    database.close()
    lost = [
        key for key, answer in accepted.items() if fork.get(f"request/{key}") != answer["position"]
        and not mesh.query("order-svc", "SELECT 1 FROM event_log WHERE cause = ?", f"request/{key}")
    ]
    require(not lost, f"accepted, and in neither log: {lost}")
    mesh.wait_ready()
    shutil.rmtree(os.path.dirname(zombie_file))  # the operator has looked: scripts/check names it
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
    by_zombie = sum(f"request/{key}" in fork for key in accepted)
    return f"{len(accepted)} accepted, {by_zombie} of them by the zombie before it was fenced"


# ---- Rows 30 and 31: others at the same file -----------------------------------------------------

def hold(mesh, name, statement, database_url_mode):
    database = sqlite3.connect(f"file:{mesh.database_path(name)}?mode={database_url_mode}",
                               uri=True, isolation_level=None, timeout=kit.far(10))
    database.execute(statement)
    return database


@needs(slow=True)
def fault_30_snapshot_held(mesh):
    """Another program's reader holds its snapshot for long, under load. The service goes on; when
    the reader has ended, the WAL returns to its base line (I13)."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    readers = [hold(mesh, name, "BEGIN", "ro") for name in SERVICES]
    for reader in readers:
        reader.execute("SELECT count(*) FROM event_log").fetchall()
    mesh.load(seconds=HELD_S, rate=400, seed=2).finish()
    grown = mesh.resources("order-svc")["wal_bytes"]
    require(grown > 1024 * 1024, f"the WAL has {grown} bytes: the fault had no effect")
    for reader in readers:
        reader.close()
    wait_until(
        lambda: mesh.resources("order-svc")["wal_bytes"] < 1024 * 1024,
        lambda: f"the WAL is short again; it has {mesh.resources('order-svc')['wal_bytes']} bytes",
        10)
    mesh.check()
    return f"the WAL grew to {grown // 1024} KiB"


@needs(slow=True)
def fault_31_write_lock_held(mesh):
    """Another program holds the database's write lock. Requests are refused as busy and never take
    effect; the service becomes degraded and recovers by itself."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    account, sku = mesh.buyers()[0], mesh.product("mug")
    size = mesh.log_size("order-svc")
    holder = hold(mesh, "order-svc", "BEGIN IMMEDIATE", "rw")
    keys = [f"fault-31-{i}" for i in range(8)]
    wanted = [("order.place", order_of(account, sku), key, ()) for key in keys]
    answers = mesh.requests(wanted, timeout=6)
    require(all(answer and answer.get("error", {}).get("code") == "busy" for answer in answers),
            f"not all were refused as busy: {answers}")
    mesh.wait_state("order-svc", "degraded")
    reply = mesh.request("order.products", {})
    require(reply and "products" in reply, f"queries get no answer: {reply}")
    load = mesh.load(seconds=HELD_S, seed=2)
    kit.let_pass(HELD_S / 2)
    holder.execute("ROLLBACK")
    holder.close()
    load.finish()
    mesh.wait_ready()
    for event in ("degraded", "recovered"):
        logged(mesh, "order-svc", f"event={event}", f"the log does not say {event}", size)
    mesh.check()
    found = mesh.query("order-svc",
                       "SELECT cause FROM event_log WHERE cause LIKE 'request/fault-31-%'")
    require(not found, f"refused as busy, and executed all the same: {found} (I2)")
