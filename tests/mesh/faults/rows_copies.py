"""Rows of a service's files in strange hands: a backup beside an old WAL, files that are moved,
replaced or removed under the service, a flipped bit; both copies of a log lost."""
import os
import shutil
import sqlite3

import kit
from kit import logged, require, wait_until

ORDER = "order-svc"


def tool(mesh, name, *arguments, code=0):
    """Runs a sub-command of a service's program on its folder; returns what it printed."""
    done = kit.subprocess.run(
        [mesh.program(name), "--server", mesh.url, "--data-dir", mesh.data(name), *arguments],
        capture_output=True, text=True, check=False, env=mesh.environment(), timeout=kit.far(60))
    require(done.returncode == code,
            f"{name} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def end_of(mesh, name, process):
    """The exit code of a service that is started by hand and ends by itself."""
    try:
        return process.wait(timeout=kit.far(20))
    except kit.subprocess.TimeoutExpired:
        process.kill()
        raise kit.Failed(f"{name} does not end: {mesh.log_text(name)[-600:]}") from None


def start_by_hand(mesh, name, **env):
    """A service in its folder, beside scripts/mesh; its lines go to its log."""
    with open(os.path.join(mesh.folder, "log", name + ".log"), "ab") as log:
        return kit.subprocess.Popen(
            [mesh.program(name), "--server", mesh.url, "--data-dir", mesh.data(name)],
            stdin=kit.subprocess.DEVNULL, stdout=log, stderr=log,
            env=dict(mesh.environment(), **env))


def refuses(mesh):
    answer = mesh.request("order.receive-stock", {"sku": "none", "quantity": 1}, timeout=1.0)
    return (answer or {}).get("error", {}).get("code") == "internal"


# ---- Row 55: a copy beside an old WAL ------------------------------------------------------------

def frozen_with_wal(mesh, path):
    """An idle service moves a long WAL into the file, at a moment of its own."""
    mesh.product("last-" + os.urandom(3).hex())
    mesh.quiet()
    mesh.pause(ORDER)
    if os.path.getsize(path + "-wal") > 0:
        return True
    mesh.resume(ORDER)
    return False


def copied_beside_wal(mesh, make_copy):
    """A service that was killed with a WAL, and an older copy of its file put in the file's
    place."""
    mesh.up()
    mesh.load(seconds=1).finish()
    copy = os.path.join(mesh.folder, "copy.db")
    make_copy(copy)
    mesh.restart(ORDER)                    # the WAL goes into the file; the next has another number
    mesh.wait_ready()
    mesh.load(seconds=1.5, seed=2).finish()
    mesh.quiet()
    path = mesh.database_path(ORDER)
    wait_until(lambda: frozen_with_wal(mesh, path), "an idle service moves each WAL into the file")
    mesh.mark()
    mesh.kill(ORDER)
    shutil.copy(copy, path)
    return copy


def fault_55_backup_copied_beside_an_old_wal(mesh):
    """order-svc is killed, and a backup is copied over its file, with the old WAL still beside it.
    The service does not serve the mixture: it ends with 78 and names `restore`, which then puts the
    backup in place; nothing that the stream has is missing."""
    copy = copied_beside_wal(mesh, lambda path: tool(mesh, ORDER, "backup", path))
    before = mesh.log_size(ORDER)
    code = end_of(mesh, ORDER, start_by_hand(mesh, ORDER))
    require(code == 78, f"the mixture ends with {code}")
    require(mesh.log_has(ORDER, "event=cannot_start .*restore FILE", before),
            "the log does not name `restore`")
    require(not mesh.log_has(ORDER, "event=ready", before), "the mixture was ready")
    code = end_of(mesh, ORDER, start_by_hand(mesh, ORDER))
    require(code == 78, f"started again, the mixture ends with {code}")
    said = tool(mesh, ORDER, "restore", copy)
    require("next: start order-svc" in said, f"restore does not say what follows: {said}")
    require(not os.path.exists(mesh.database_path(ORDER) + "-wal"), "the old WAL is still there")
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.load(seconds=1, seed=3).finish()
    mesh.check()


@kit.needs(slow=True)
def fault_55_shells_copy_beside_an_old_wal(mesh):
    """The same with a copy that SQLite's own shell has made while the WAL was written."""
    def copy_by_sqlite(path):
        with mesh.database(ORDER) as source:
            target = sqlite3.connect(path)
            source.backup(target)
            target.close()
    copied_beside_wal(mesh, copy_by_sqlite)
    code = end_of(mesh, ORDER, start_by_hand(mesh, ORDER))
    require(code == 78, f"the mixture ends with {code}")
    os.unlink(mesh.database_path(ORDER) + "-wal")
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


def fault_55_restore_refuses_what_is_no_backup(mesh):
    """`restore` is given another service's file, a damaged one, one with a trigger, the database
    itself; and a good one while the service runs. It refuses each, and changes nothing."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mine, other = os.path.join(mesh.folder, "mine.db"), os.path.join(mesh.folder, "other.db")
    tool(mesh, ORDER, "backup", mine)
    tool(mesh, "account-svc", "backup", other)
    require("stop it first" in tool(mesh, ORDER, "restore", mine, code=1), "it runs")
    mesh.stop(ORDER)
    path = mesh.database_path(ORDER)
    with open(path, "rb") as file:
        before = file.read()
    require("order-svc" in tool(mesh, ORDER, "restore", other, code=1), "another's")
    require("itself" in tool(mesh, ORDER, "restore", path, code=1), "the database itself")
    damaged = os.path.join(mesh.folder, "damaged.db")
    shutil.copy(mine, damaged)
    with open(damaged, "r+b") as file:
        file.seek(os.path.getsize(damaged) // 2 // 4096 * 4096)
        file.write(b"\xff" * 64)
    tool(mesh, ORDER, "restore", damaged, code=1)
    database = sqlite3.connect(mine)
    database.execute(
        "CREATE TRIGGER poison AFTER INSERT ON event_log BEGIN DELETE FROM orders; END")
    database.commit()
    database.close()
    require("trigger poison" in tool(mesh, ORDER, "restore", mine, code=1), "a trigger")
    with open(path, "rb") as file:
        require(file.read() == before, "a refused restore has changed the database")
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


# ---- Row 55: under the service -------------------------------------------------------------------

def noticed(mesh, change):
    """The files are changed under the service: within seconds it says `moved`, and takes nothing
    more; started again, it has all that it has accepted."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    before = mesh.log_size(ORDER)
    change(mesh.database_path(ORDER))
    mesh.wait_state(ORDER, "moved", 10)
    logged(mesh, ORDER, "level=error .*event=moved reason=", "no line in the log", before)
    require(refuses(mesh), "a command is taken")
    answer = mesh.request("order.products", {}, timeout=1.0)
    require((answer or {}).get("error", {}).get("code") == "internal", f"a query says {answer}")


def restarted(mesh):
    mesh.restart(ORDER)
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


def fault_55_database_removed_under_the_service(mesh):
    """All files of the database are removed while order-svc runs. It says `moved` and refuses;
    started again, it is rebuilt from its stream."""
    def remove(path):
        for suffix in ("", "-wal", "-shm"):
            os.unlink(path + suffix)
    noticed(mesh, remove)
    restarted(mesh)


@kit.needs(slow=True)
def fault_55_database_replaced_under_the_service(mesh):
    """A copy is moved over the database while order-svc runs."""
    def replace(path):
        copy = os.path.join(mesh.folder, "copy.db")
        tool(mesh, ORDER, "backup", copy)
        os.rename(copy, path)
    noticed(mesh, replace)
    mesh.stop(ORDER)
    for suffix in ("-wal", "-shm"):
        if os.path.exists(mesh.database_path(ORDER) + suffix):
            os.unlink(mesh.database_path(ORDER) + suffix)
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


@kit.needs(slow=True)
def fault_55_folder_renamed_under_the_service(mesh):
    """The whole folder is renamed while order-svc runs, and renamed back afterwards."""
    def rename(path):
        os.rename(os.path.dirname(path), os.path.dirname(path) + ".away")
    noticed(mesh, rename)
    mesh.stop(ORDER)
    os.rename(mesh.data(ORDER) + ".away", mesh.data(ORDER))
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


@kit.needs(slow=True)
def fault_55_wal_removed_under_the_service(mesh):
    """Only the WAL is removed while order-svc runs."""
    noticed(mesh, lambda path: os.unlink(path + "-wal"))
    restarted(mesh)


@kit.needs(slow=True)
def fault_55_database_overwritten_under_the_service(mesh):
    """Another copy is written over the database in its place (cp) while order-svc runs."""
    copy = os.path.join(mesh.folder, "copy.db")

    def overwrite(path):
        mesh.restart(ORDER)
        mesh.wait_ready()
        mesh.load(seconds=1, seed=4).finish()
        shutil.copyfile(copy, path)
    mesh.up()
    mesh.load(seconds=1, seed=3).finish()
    tool(mesh, ORDER, "backup", copy)
    overwrite(mesh.database_path(ORDER))
    wait_until(lambda: mesh.state(ORDER) in ("moved", "corrupt"), "it is noticed", 10)
    mesh.stop(ORDER)
    for suffix in ("", "-wal", "-shm", ".corrupt"):
        if os.path.exists(mesh.database_path(ORDER) + suffix):
            os.unlink(mesh.database_path(ORDER) + suffix)
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


# ---- Row 55: damage is remembered ----------------------------------------------------------------

def fault_55_damage_is_remembered(mesh):
    """order-svc has met damage in its file. It does not start on it again, however often it is
    started, before `restore` has put a backup in its place."""
    mesh.up()
    mesh.load(seconds=1).finish()
    copy = os.path.join(mesh.folder, "copy.db")
    tool(mesh, ORDER, "backup", copy)
    mesh.quiet()
    mesh.mark()
    mesh.stop(ORDER)
    path = mesh.database_path(ORDER)
    whole = os.path.join(mesh.folder, "whole.db")
    shutil.copy(path, whole)
    with open(path, "r+b") as file:
        for page in range(2, os.path.getsize(path) // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(64))
    before = mesh.log_size(ORDER)
    code = end_of(mesh, ORDER, start_by_hand(mesh, ORDER))
    require(code == 78, f"damage ends with {code}")
    shutil.copyfile(whole, path)  # nothing of the damage is met any more
    code = end_of(mesh, ORDER, start_by_hand(mesh, ORDER))
    require(code == 78 and mesh.log_has(ORDER, "event=cannot_start .*was found damaged", before),
            f"the damage is forgotten: {code}")
    tool(mesh, ORDER, "restore", copy)
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.check()


def fault_55_flipped_bit_is_found(mesh):
    """One bit of one old event flips in order-svc's file. Nobody reads that event; the slow check
    finds it within a pass, and the service says `corrupt`, with the position."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.stop(ORDER)                       # the WAL is in the file
    path = mesh.database_path(ORDER)
    ident = mesh.query(ORDER, "SELECT id FROM event_log WHERE position = 3")[0][0].encode()
    mesh.start(ORDER, JOURNEY_FILE_CHECK_S="1")
    mesh.wait_state(ORDER)

    def passes():
        return (mesh.stats(ORDER) or {}).get("file_checks", 0)
    wait_until(lambda: passes() > 0, "a pass ends", 30)
    require(mesh.state(ORDER) == "ready", "a whole file is not taken for a damaged one")
    before = mesh.log_size(ORDER)
    with open(path, "r+b") as file:
        place = file.read().find(ident)
        require(place > 0, "the event is not in the file")
        file.seek(place)
        file.write(bytes([ident[0] ^ 1]))
    mesh.wait_state(ORDER, "corrupt", 30)
    logged(mesh, ORDER, "event=file_damaged .*position 3", "the place is not told", before)
    require(refuses(mesh), "a command is taken")


def fault_55_flipped_bit_in_a_table_is_found(mesh):
    """A bit flips in a column without an index: a customer's street in account-svc's tables. SQLite
    has no checksum of it, and no key is wrong. The comparison of the tables with the log finds it,
    names table and count, and not what stands there; a rebuild puts it right."""
    name, street = "account-svc", "Muehlenweg 4711"
    mesh.up()
    account = mesh.customer()
    mesh.ask("account.change-address", {"account_id": account, "address": {
        "street": street, "city": "Bremen", "postal_code": "28195", "country": "DE"}})
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.stop(name)                        # the WAL is in the file
    mesh.start(name, JOURNEY_FILE_CHECK_S="1", JOURNEY_TABLE_CHECK_S="1")
    mesh.wait_state(name)

    def checks():
        return (mesh.stats(name) or {}).get("table_checks", 0)
    wait_until(lambda: checks() > 0, "a comparison ends", 40)
    require(mesh.stats(name)["tables_differ"] == 0, "whole tables are not taken for damaged ones")
    before, seen = mesh.log_size(name), checks()
    with open(mesh.database_path(name), "r+b") as file:
        whole = file.read()
        places = [i for i in range(len(whole)) if whole.startswith(street.encode(), i)]
        for place in places:               # in the log it stands as JSON, with the field before it
            if not whole[:place].endswith(b'"street":"'):
                file.seek(place)
                file.write(b"L")
    wait_until(lambda: checks() > seen and mesh.stats(name)["tables_differ"] > 0,
               lambda: f"it is found: {mesh.stats(name)}", 40)
    logged(mesh, name, "level=error .*event=tables_differ table=accounts missing=0 extra=0 "
           "changed=1", "the table is not named", before)
    require("4711" not in mesh.log_text(name), "an address is in the log")
    require(mesh.stats(name)["file_checks"] > 0 and mesh.state(name) == "ready", "it goes on")
    mesh.ask("account.rebuild", {}, timeout=30)
    require(mesh.stats(name)["tables_differ"] == 0, f"it is right again: {mesh.stats(name)}")
    mesh.check()


# ---- Row 56: restored to yesterday, both copies lost ---------------------------------------------

def yesterday_of(mesh, *paths):
    """Copies of folders, of now; returns what puts them back."""
    kept = []
    for i, path in enumerate(paths):
        kept.append((path, os.path.join(mesh.folder, f"yesterday-{i}")))
        shutil.copytree(path, kept[-1][1])

    def put_back():
        for path, copy in kept:
            shutil.rmtree(path)
            shutil.copytree(copy, path)
    return put_back


def declined(mesh, account):
    """An order of a customer whose card is declined, and what account-svc makes of it."""
    mesh.order(account)
    wait_until(
        lambda: mesh.query("account-svc", "SELECT 1 FROM event_log WHERE type = 'CardDeclined'"
                           " AND entity = ?", account) != [],
        lambda: "the decline reaches the card:\n" + mesh.log_text("account-svc")[-600:], 20)
    return mesh.query("account-svc", "SELECT cause FROM event_log WHERE type = 'CardDeclined'"
                      " AND entity = ?", account)[0][0]


def fault_56_server_and_order_restored_to_yesterday(mesh):
    """Server and order-svc are restored to yesterday, account-svc is not: it is `forked` as a
    reader. After `account-svc resolve --keep stream`, a decline at a position that was used before
    reaches its card."""
    mesh.up()
    first, second = mesh.customer(("tok_declined",)), mesh.customer(("tok_declined",), "Bob")
    mesh.product()
    mesh.quiet()
    for name in (ORDER, "account-svc", "server"):
        mesh.stop(name)
    put_back = yesterday_of(mesh, mesh.data(ORDER), mesh.store)
    for name in ("server", "account-svc", ORDER):
        mesh.start(name)
    mesh.wait_ready()
    before = declined(mesh, first)
    mesh.quiet()
    for name in (ORDER, "account-svc", "server"):
        mesh.stop(name)
    put_back()
    for name in ("server", "account-svc", ORDER):
        mesh.start(name)
    mesh.wait_state(ORDER)
    mesh.order(second)
    wait_until(lambda: '"state":"forked"' in kit.json.dumps(mesh.stats("account-svc"),
                                                            separators=(",", ":")),
               "the reader is forked", 20)
    mesh.stop("account-svc")
    tool(mesh, "account-svc", "resolve", "--keep", "stream")
    mesh.start("account-svc")
    mesh.wait_ready()
    after = declined(mesh, second)
    require(before.split("/")[:2] == after.split("/")[:2] and before != after,
            f"the position was not used twice: {before}, {after}")


def fault_56_both_copies_of_a_log_lost(mesh):
    """The database of order-svc and the streams are lost together. order-svc asks its readers
    before it begins at 1: it is not ready, and names the reader and its position. With a backup
    restored, it goes on."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    copy = os.path.join(mesh.folder, "copy.db")
    tool(mesh, ORDER, "backup", copy)
    mesh.stop(ORDER)
    mesh.stop("server")
    mesh.wipe_streams()
    shutil.rmtree(mesh.data(ORDER))
    before = mesh.log_size(ORDER)
    mesh.start("server")
    mesh.start(ORDER, wait=False)
    mesh.wait_state(ORDER, "forked")
    line = "event=log_lost .*reader=account-svc reader_position=[1-9]"
    logged(mesh, ORDER, line, "the log does not name the reader", before)
    answer = mesh.request("order.receive-stock", {"sku": "none", "quantity": 1}, timeout=1.0)
    require("position" not in (answer or {}), f"a command is taken: {answer}")
    require(mesh.head(ORDER)[0] == 0, "positions are used a second time")
    mesh.stop(ORDER)
    tool(mesh, ORDER, "restore", copy)
    mesh.start(ORDER)
    mesh.wait_ready()
    mesh.restart("account-svc")  # it had said `forked` of a leader without events
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
