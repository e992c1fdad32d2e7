"""Rows of the server: killed, idle, set back, wiped, full, paused, at its limits."""
import contextlib
import os
import shutil
import signal
import time

import kit
from kit import LOG, ROOT, SERVICES, needs, require, wait_until
from reads import Reads, Watch

SERVER_S = 3.0                         # limit from the server's return until the mesh works


def arrives(mesh, account):
    """An order is placed and arrives at account-svc: the mesh works, end to end."""
    position = require(mesh.order(account), "no service answers order.place")["position"]

    def cursor():
        rows = mesh.query("account-svc", "SELECT position FROM cursors WHERE log = 'ORDER'")
        return rows[0][0] if rows else 0
    wait_until(lambda: cursor() >= position, "the order arrives at account-svc")


@needs(slow=True)
def fault_08_server_killed_under_load(mesh):
    """Kill -9 of the server with publishes in flight, repeatedly. The stream stays a prefix of the
    log, and the mesh works again within 3 s of the server's return, from a request to the other
    service."""
    kills, slowest = (50 if kit.FULL else 4), 0.0
    mesh.up()
    mesh.product(stock=10 ** 6)
    account = mesh.customer()
    load = mesh.load(seconds=2.5 * kills, rate=300)
    with Reads(mesh, account), Watch(mesh):
        for _ in range(kills):
            mesh.wait_orders(mesh.head("order-svc")[0] + 60)
            mesh.kill("server")
            mesh.mark()
            mesh.start("server")
            start = time.monotonic()
            for name in SERVICES:
                mesh.wait_takes(name)
            arrives(mesh, account)
            slowest = max(slowest, time.monotonic() - start)
    require(slowest < kit.slower(SERVER_S),
            f"{slowest:.2f} s from the server's return until an order arrived")
    load.finish(seconds=60 + 3 * kills)
    mesh.check()
    return (f"figure: {kills} kills; slowest return to an order that arrives at the other "
            f"service {slowest:.2f} s")


@needs(slow=True)
def fault_09_idle_past_the_duplicate_window(mesh):
    """The server is restarted after the streams were idle for longer than their duplicate window.
    No event waits, and none is duplicated: the services do not rely on the server's
    de-duplication."""
    mesh.up()
    for name in SERVICES:
        config = mesh.api(f"STREAM.INFO.{LOG[name]}")["config"]
        config["duplicate_window"] = 1_000_000_000
        answer = mesh.api(f"STREAM.UPDATE.{LOG[name]}", config)
        require("error" not in answer, f"{answer}")
    mesh.load(seconds=1).finish()
    mesh.quiet()
    end = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > end, "the window has passed", 3)
    mesh.kill("server")
    load = mesh.load(seconds=1, seed=2)
    mesh.start("server")
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_10_lame_duck(mesh):
    """The server announces its shutdown (lame duck), as in an upgrade, and comes back on the same
    store under load."""
    mesh.server_config('lame_duck_duration: "30s"\nlame_duck_grace_period: "100ms"')
    mesh.up()
    load = mesh.load(seconds=4)
    mesh.wait_orders(60)
    mesh.signal("server", signal.SIGUSR2)
    mesh.wait_dead("server")
    mesh.mark()
    mesh.start("server")
    load.finish()
    mesh.check()


def version_of(mesh):
    return (mesh.request("$SYS.REQ.SERVER.PING", None) or {}).get("server", {}).get("ver") or \
        (mesh.log_text("server").rpartition("Version:")[2].split() or [""])[0]


@needs(slow=True)
def fault_10_server_upgraded(mesh):
    """The server is the oldest that the mesh works with. It is replaced by the newest on the same
    store, under load, and later by the old version again, as in a rollback. NATS_SERVER_NEXT may
    name another newer program."""
    oldest = os.path.join(ROOT, ".tools", "bin", "nats-server-2.10.27")
    if not os.path.exists(oldest):
        raise kit.Skipped(f"{oldest} is not there; run scripts/setup --tests")
    newest = os.environ.get("NATS_SERVER_NEXT")
    mesh.server_program = oldest
    mesh.up()
    old = version_of(mesh)
    load = mesh.load(seconds=6)
    for program in (newest, oldest):
        mesh.wait_orders(mesh.head("order-svc")[0] + 60)
        mesh.stop("server")
        mesh.mark()
        mesh.server_program = program
        mesh.start("server")
        for name in SERVICES:
            mesh.wait_takes(name)
        require((version_of(mesh) == old) == (program == oldest),
                f"the server's version is {version_of(mesh)}, at first it was {old}")
    load.finish()
    mesh.check()
    return f"from {old} and back"


# ---- What a power cut and an operator do to the store --------------------------------------------

def cut_tail(path, bytes_off):
    with open(path, "r+b") as file:
        file.truncate(max(0, os.path.getsize(path) - bytes_off))


def forget_index(mesh, name):
    """Deletes the server's own summary of a stream, which the server writes less often than the
    messages."""
    path = os.path.join(os.path.dirname(mesh.blocks(name)[0]), "index.db")
    if os.path.exists(path):
        os.unlink(path)


def lose_tail(mesh, bytes_off):
    """A power cut of the server: each stream loses its end. Returns how much each stream lost."""
    def ends():
        return {name: mesh.stream_state(name)["last_seq"] for name in SERVICES}

    for name in SERVICES:  # no service may heal it before we have looked
        mesh.pause(name)
    wait_until(lambda: ends() == ends(), "messages in flight are stored")
    before = ends()
    mesh.mark()
    mesh.kill("server")
    for name in SERVICES:
        cut_tail(mesh.blocks(name)[-1], bytes_off)
        forget_index(mesh, name)
    mesh.start("server", wait=False)
    wait_until(lambda: mesh.stream_state("order-svc"), "the server answers")
    lost = {name: before[name] - last for name, last in ends().items()}
    for name in SERVICES:
        mesh.resume(name)
    require(min(lost.values()) > 3, f"the streams lost {lost}: the fault had no effect")
    return lost


def fault_11_stream_loses_its_tail(mesh):
    """The server loses the end of each stream, as in a power cut, under load. The owners republish
    the lost events, with the same ids and sequences; the readers skip the events that they have."""
    mesh.up()
    load = mesh.load(seconds=4)
    mesh.wait_orders(150)
    with Watch(mesh):
        lose_tail(mesh, 15_000)
        load.finish()
    mesh.check()


@needs(slow=True)
def fault_17_durable_ahead_of_its_stream(mesh):
    """The streams lose their end after the readers have acknowledged it: each durable is ahead of
    its stream."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    lost = lose_tail(mesh, 20_000)
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
    return f"lost {lost}"


@needs(slow=True)
def fault_12_old_store_restored(mesh):
    """An operator restores an old copy of the server's whole store. The owners republish the
    missing events."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.stop("server")
    copy = os.path.join(mesh.folder, "store-copy")
    shutil.copytree(mesh.store, copy)
    mesh.start("server")
    load = mesh.load(seconds=4, seed=2)
    mesh.wait_orders(mesh.head("order-svc")[0] + 200)
    mesh.stop("server")
    mesh.mark()
    mesh.wipe_streams()
    shutil.move(copy, mesh.store)
    mesh.start("server")
    load.finish()
    mesh.check()


def fault_13_stores_wiped(mesh):
    """The server is killed and its store deleted. The services recreate the streams and fill them
    from their logs."""
    mesh.up()
    load = mesh.load(seconds=3)
    mesh.wait_orders(100)
    mesh.kill("server")
    mesh.mark()
    mesh.wipe_streams()
    mesh.start("server")
    with Watch(mesh):
        load.finish()
    mesh.check()
    for name in SERVICES:
        require(mesh.log_text(name).count("event=stream_made") == 2,
                f"{name}'s log does not report a recreated stream")


# ---- Limits and pauses ---------------------------------------------------------------------------

def fault_18_stream_full(mesh):
    """The stream reaches its max_bytes. The service answers busy when its backlog is full, logs the
    reason, and goes on when an operator has enlarged the stream."""
    mesh.flags["order-svc"] = ["--stream-max-bytes", "60000", "--backlog-max", "40"]
    mesh.up()
    load = mesh.load(seconds=4)
    wait_until(lambda: mesh.log_has("order-svc", "event=relay state=waiting .*stream is full"),
               "the log says that the stream is full", 20)
    account = wait_until(
        lambda: mesh.query("order-svc", "SELECT account_id FROM customers LIMIT 1"),
        "a customer")[0][0]
    sku = mesh.query("order-svc", "SELECT sku FROM products LIMIT 1")[0][0]
    wait_until(lambda: ((mesh.order(account, sku) or {}).get("error") or {}).get("code") == "busy",
               "order.place is refused as busy", 20)
    config = mesh.api("STREAM.INFO.ORDER")["config"]
    require("error" not in mesh.api("STREAM.UPDATE.ORDER", dict(config, max_bytes=10_000_000)),
            "the stream cannot be enlarged")
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_19_account_limit(mesh):
    """The server's limit for all streams is reached, then raised. The services wait, log the
    reason, and go on."""
    limit = 'jetstream {{ store_dir: "{}", max_file_store: {} }}'
    mesh.server_config(limit.format(os.path.join(mesh.folder, "server"), 100_000))
    mesh.flags["order-svc"] = mesh.flags["account-svc"] = ["--backlog-max", "100"]
    mesh.up()
    load = mesh.load(seconds=4)
    wait_until(lambda: mesh.log_has("order-svc", "event=relay state=waiting .*(limit|refused)"),
               "order-svc says that a limit is reached", 20)
    mesh.server_config(limit.format(os.path.join(mesh.folder, "server"), 100_000_000))
    mesh.stop("server")
    mesh.start("server")
    load.finish()
    mesh.check()


@needs("root")
def fault_20_server_disk_full(mesh):
    """The server's disk is full, then freed. Acknowledged events are there, refused events are
    republished."""
    mesh.mount_tmpfs(os.path.join(mesh.folder, "server"), "3m")
    mesh.up()
    load = mesh.load(seconds=5)
    mesh.wait_orders(80)
    ballast = fill_disk(mesh)
    wait_until(lambda: mesh.log_has("order-svc", "event=relay state=waiting"), "order-svc notices",
               20)
    mesh.mark()
    os.unlink(ballast)
    back(mesh)
    load.finish()
    mesh.check()


def fill_disk(mesh):
    """The file that fills the server's disk."""
    ballast = os.path.join(mesh.folder, "server", "ballast")
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


@needs("root", slow=True)
def fault_20_server_disk_full_and_nobody_restarts_it(mesh):
    """The same, and nobody restarts the server. A newer one stores nothing more in a stream whose
    write has failed, without a word: after a minute of that the service makes the stream anew, as
    it was set and with others' durables; the server goes on."""
    mesh.mount_tmpfs(os.path.join(mesh.folder, "server"), "3m")
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    config = dict(mesh.api("STREAM.INFO.ORDER")["config"], description="the books")
    for verb, body in (("STREAM.UPDATE.ORDER", config), ("CONSUMER.CREATE.ORDER.analytics", {
            "stream_name": "ORDER", "config": {"durable_name": "analytics", "name": "analytics",
                                               "ack_policy": "explicit"}})):
        answer = mesh.api(verb, body)
        require("error" not in answer, f"{verb}: {answer}")
    durables = "SELECT count(*) FROM kept_durables WHERE name = 'analytics'"
    wait_until(lambda: mesh.query("order-svc", durables)[0][0] == 1, "they are seen", 30)
    size, server = mesh.log_size("order-svc"), mesh.pid("server")
    ballast = fill_disk(mesh)
    mesh.load(seconds=1, seed=2).finish()
    wait_until(lambda: mesh.log_has("server", "failed to store a msg on stream '.G > ORDER'"),
               "the server cannot store", 60)
    os.unlink(ballast)
    wait_until(lambda: mesh.log_has("order-svc", "stream_made", size),
               lambda: f"the stream is made anew: {mesh.stats('order-svc')}", 150)
    require(mesh.log_has("order-svc", "making .*can be read and acknowledges nothing", size),
            "the reason is not named")
    mesh.check()
    require(mesh.pid("server") == server, "the server was restarted")
    require(mesh.api("STREAM.INFO.ORDER")["config"]["description"] == "the books", "not as it was")
    require("error" not in mesh.api("CONSUMER.INFO.ORDER.analytics"), "the durable is not there")


def back(mesh):
    """JetStream turns itself off after some disk errors, and newer servers store nothing more in a
    stream whose write has failed; then an operator restarts the server."""
    if mesh.api("INFO", timeout=1.0) in (None, {}) or mesh.log_has(
            "server", "JetStream.*(disabled|out of resources|will be disabled|failed to store)"):
        if mesh.runs("server"):
            mesh.kill("server")
        mesh.start("server")


@needs(slow=True)
def fault_35_server_paused(mesh):
    """The server is paused (SIGSTOP) and resumed, under load."""
    seconds = 30 if kit.FULL else 6
    mesh.up()
    load = mesh.load(seconds=seconds + 3)
    mesh.wait_orders(60)
    mesh.pause("server")
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, "the pause is over", seconds + 5)
    mesh.mark()
    with Watch(mesh):
        mesh.resume("server")
        for name in SERVICES:
            mesh.wait_takes(name)
        load.finish()
    mesh.check()


ACCESS = """authorization {{ users = [ {users} {{ user: guest, password: guest }} ] }}
no_auth_user: guest
{more}"""
SERVICES_USER = "{ user: services, password: opensesame },"


@needs(slow=True)
def fault_37_connection_limit(mesh):
    """The connection limit of the server is exhausted by other clients when the services reconnect.
    The services connect as soon as a connection is free."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.server_config("max_connections: 4")
    mesh.stop("server")
    for name in SERVICES:
        mesh.pause(name)
    mesh.start("server", wait=False)
    hogs = [mesh.client(f"hog-{i}") for i in range(6)]

    def refused():
        for hog in hogs:
            hog.poll(0.005)
        return mesh.log_text("server").count("maximum connections exceeded")
    before = wait_until(refused, "the server refuses connections", 20)
    for name in SERVICES:
        mesh.resume(name)
    wait_until(lambda: refused() > before + 8, "the server refuses the services", 20)
    for hog in hogs:
        hog.close()
    mesh.write_server_config("")
    for name in SERVICES:
        if not mesh.runs(name):  # the service has ended; we are its supervisor
            mesh.start(name, wait=False)
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


def fault_37_user_revoked(mesh):
    """The services' user is removed from the server's configuration, under load, and added again
    later. The services log the refusal and end; restarted by their supervisor, they go on where
    they were."""
    mesh.server_config(ACCESS.format(users=SERVICES_USER, more=""))
    for name in SERVICES:
        mesh.flags[name], mesh.env[name] = ["--user", "services"], {"NATS_PASSWORD": "opensesame"}
    mesh.up()
    load = mesh.load(seconds=4)
    mesh.wait_orders(60)
    mesh.mark()
    mesh.write_server_config(ACCESS.format(users="", more=""))
    for name in SERVICES:
        refused = "event=(connection_closed|disconnected|bus_error)"
        wait_until(lambda: mesh.log_has(name, refused), f"{name} logs the refusal", 20)
    mesh.write_server_config(ACCESS.format(users=SERVICES_USER, more=""))

    def back_again():
        for name in SERVICES:
            if not mesh.runs(name):
                mesh.start(name, wait=False)
        return all(mesh.state(name) == "ready" for name in SERVICES)
    wait_until(back_again, "both services are back", 20)
    load.finish()
    mesh.check()
