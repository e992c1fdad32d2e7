"""Row 44: a second instance of a service, with a folder of its own or a copied one."""
import json
import os
import shutil
import signal
import sqlite3
import time

import kit
from kit import needs, require, wait_until
from rows_file import Second

NAME = "order-svc"
RATE = 60


def roles(mesh):
    """The roles of all instances of order-svc that answer $SRV.PING, by id."""
    connection, found, end = mesh.client("roles"), {}, time.monotonic() + 0.4
    connection.request(f"$SRV.PING.{NAME}", b"", "0")
    while time.monotonic() < end:
        for _, _, body in connection.poll(0.05):
            if body:
                reply = json.loads(body)
                found[reply["id"]] = reply["metadata"].get("role")
    connection.close()
    return found


def one_serves(mesh, count):
    return sorted(roles(mesh).values()) == ["leading"] + ["standby"] * (count - 1)


def second(mesh, folder="second", *flags):
    path = os.path.join(mesh.folder, folder)
    os.makedirs(path, exist_ok=True)
    return Second(mesh, NAME, path, *flags)


def says(instance, pattern):
    return pattern in instance.text()


def head_of(mesh, folder):
    """(position, chain) of the log in that folder; None: it has no event."""
    path = os.path.join(mesh.folder, folder, NAME + ".db")
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        row = database.execute("SELECT position, hex(chain) FROM event_log "
                               "ORDER BY position DESC LIMIT 1").fetchone()
        return row and tuple(row)
    finally:
        database.close()


def fault_44_standby_takes_over(mesh):
    """The leading order-svc is killed (SIGKILL), and its folder is gone. The standby, which takes
    over by itself, leads within seconds; it goes on with the same log, and orders are taken. (What
    was refused under a key is forgotten, as with any lost file, so nothing is asked again.)"""
    mesh.up()
    other = second(mesh, "second", "--take-over", "auto")
    wait_until(lambda: says(other, "event=following"),
               lambda: f"the second follows:\n{other.text()}", 20)
    mesh.load(seconds=2, rate=RATE).finish()
    mesh.quiet()
    mesh.mark()
    mesh.kill(NAME)
    mesh.may_be_down.add(NAME)
    wait_until(lambda: says(other, "event=leading") and says(other, "event=ready"),
               lambda: f"the second leads:\n{other.text()}", 20)
    mesh.load(seconds=2, rate=RATE, seed=2).finish()
    other.end()
    shutil.rmtree(mesh.data(NAME))
    shutil.move(os.path.join(mesh.folder, "second"), mesh.data(NAME))
    mesh.may_be_down.clear()
    mesh.start(NAME)
    mesh.check()


def fault_44_second_instance_with_its_own_folder(mesh):
    """order-svc is typed a second time, with a folder of its own, while 60 orders a second come.
    The second one hears the first, stands by, and says so; no order is refused or lost, and the
    second's log is the first's."""
    mesh.up()
    load = mesh.load(seconds=15 if kit.FULL else 5, rate=RATE)
    mesh.wait_orders(30)
    other = second(mesh)
    wait_until(lambda: says(other, "event=standby"),
               lambda: f"the second stands by:\n{other.text()}", 20)
    wait_until(lambda: one_serves(mesh, 2), lambda: f"one serves: {roles(mesh)}", 20)
    said = load.finish()
    require(not says(other, "event=ready"), f"the second has served:\n{other.text()}")
    require(mesh.stats(NAME) is not None, said)
    wait_until(lambda: head_of(mesh, "second") == mesh.head(NAME),
               lambda: f"the second has the first's log: {head_of(mesh, 'second')}", 20)
    other.end()
    mesh.again()
    mesh.check()


def fault_44_serving_instance_killed(mesh):
    """The serving order-svc is killed (SIGKILL) under load, again and again. The standby does not
    take its place, because what was answered and not yet published is in the first one's file
    alone; the first one serves again when it is started, and every answered order is there once.
    At last the first one's machine is gone, with its outbox empty: the standby is started anew,
    and serves what the stream has."""
    mesh.up()
    other = second(mesh)
    wait_until(lambda: says(other, "event=standby"),
               lambda: f"the second stands by:\n{other.text()}", 20)
    load = mesh.load(seconds=6, rate=RATE)
    for count in range(1, 6 if kit.FULL else 3):
        mesh.wait_orders(20 * count)
        mesh.kill(NAME)
        if count == 1:
            wait_until(lambda: says(other, "event=nobody_serves"),
                       lambda: f"the second says that nobody serves:\n{other.text()}", 20)
        mesh.start(NAME, wait=False)
        wait_until(lambda: one_serves(mesh, 2), lambda: f"the first serves: {roles(mesh)}", 30)
    load.finish()
    require(not says(other, "event=ready"), f"the second has served:\n{other.text()}")
    mesh.check()
    mesh.stop(NAME)
    other.end()
    mesh.may_be_down.add(NAME)
    other = second(mesh)
    wait_until(lambda: says(other, "event=ready"),
               lambda: f"the second serves:\n{other.text()}", 30)
    account, sku = mesh.buyers()[0], mesh.product("mug")
    wait_until(lambda: "position" in (mesh.order(account, sku) or {}),
               "the second takes an order", 20)
    mesh.start(NAME, wait=False)
    wait_until(lambda: one_serves(mesh, 2), lambda: f"the second serves: {roles(mesh)}", 30)
    other.end()
    mesh.stop(NAME)
    mesh.may_be_down.clear()
    mesh.start(NAME)
    mesh.check()


def fault_44_copied_folder(mesh):
    """The folder of order-svc is copied, as a cloned machine has it, and an instance is started on
    each copy, under load. One serves, the others stand by, and it goes on when they are killed."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop(NAME)
    for folder in ("second", "third"):
        shutil.copytree(mesh.data(NAME), os.path.join(mesh.folder, folder))
    mesh.start(NAME)
    others = [second(mesh, folder) for folder in ("second", "third")]
    wait_until(lambda: one_serves(mesh, 3), lambda: f"one of three serves: {roles(mesh)}", 30)
    load = mesh.load(seconds=4, rate=RATE, seed=2)
    for other in others:
        other.process.send_signal(signal.SIGKILL)
        other.process.wait()
        wait_until(lambda: "leading" in roles(mesh).values(),
                   lambda: f"another one serves: {roles(mesh)}", 30)
    load.finish()
    wait_until(lambda: one_serves(mesh, 1), lambda: f"the last serves: {roles(mesh)}", 30)
    mesh.check()


@needs(slow=True)
def fault_44_two_start_together(mesh):
    """Two instances with folders of their own start at the same moment, again and again: one
    serves and one stands by, never both for long, and never none."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.stop(NAME)
    mesh.may_be_down.add(NAME)
    for _ in range(8 if kit.FULL else 4):
        pair = [second(mesh, folder) for folder in ("second", "third")]
        wait_until(lambda: one_serves(mesh, 2), lambda: f"one of two serves: {roles(mesh)}", 30)
        for one in pair:
            one.process.send_signal(signal.SIGKILL)
            one.process.wait()
    mesh.may_be_down.clear()
    mesh.start(NAME)
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


def fault_44_accepted_in_a_stray_file(mesh):
    """A file of order-svc in another folder has an accepted order that the served log has not, as
    after a second instance that took orders. scripts/check finds the file and names the order; an
    older copy of the folder is no such file."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    account = mesh.buyers()[0]
    sku = mesh.product("mug", 1000)
    mesh.quiet()
    mesh.stop(NAME)
    shutil.copytree(mesh.data(NAME), os.path.join(mesh.folder, "stray"))
    path = os.path.join(mesh.folder, "stray", NAME + ".db")
    mesh.start(NAME)
    mesh.wait_ready()
    mesh.order(account, sku)
    mesh.quiet()
    require("all is right" in mesh.command("check", "--dir", mesh.folder),
            "an older copy of the file is no stray")
    position, digest = mesh.head(NAME)[0], b"\x01" * 32
    stray = sqlite3.connect(path)  # as an instance would have written that nobody reads
    stray.execute("INSERT INTO event_log (position, chain, id, type, entity, time_ms, cause, data)"
                  " VALUES (?, ?, 'x', 'OrderPlaced', 'ord_x', 1, 'request/stray-key', '{}')",
                  (position + 1, digest))
    stray.commit()
    stray.close()
    said = mesh.command("check", "--dir", mesh.folder, code=1)
    require(path in said and "request/stray-key" in said,
            f"scripts/check does not name the file and the order: {said}")
    shutil.rmtree(os.path.dirname(path))
    mesh.check()
