"""Row 48: the servers of a cluster, whose streams have three copies."""
import contextlib
import os
import shutil
import signal

import kit
from kit import LOG, ROOT, SERVICES, needs, require, wait_until
from journey.proxy import Proxy

SERVERS = ("server-1", "server-2", "server-3")
ELECTION_S = 40                       # a majority elects a stream's leader within nine seconds


def cluster(mesh):
    mesh.up("--servers", "3")
    wait_current(mesh)
    return mesh


def raft(mesh, name):
    """{leader, replicas} of a service's stream; {} while it has no leader."""
    info = mesh.api(f"STREAM.INFO.{LOG[name]}", timeout=1.0) or {}
    found = info.get("cluster") or {}
    return found if found.get("leader") else {}


def is_current(mesh, name):
    replicas = raft(mesh, name).get("replicas", [])
    return len(replicas) == 2 and all(
        r["current"] and not r.get("offline") and not r.get("lag") for r in replicas)


def wait_current(mesh):
    """Waits until each stream has a leader, and both of its other copies are complete."""
    for name in SERVICES:
        wait_until(lambda: is_current(mesh, name),
                   lambda: f"the copies of {LOG[name]} are complete: {raft(mesh, name)}",
                   ELECTION_S)


def wait_published(mesh):
    """Waits until all that is in the logs now is in the streams."""
    for name in SERVICES:
        head = mesh.head(name)[0]
        wait_until(lambda: (mesh.stats(name) or {}).get("published", -1) >= head,
                   lambda: f"{name} has published {head}: {mesh.stats(name)}", ELECTION_S)


def orders_go_on(mesh, count=30):
    mesh.wait_orders(mesh.head("order-svc")[0] + count, ELECTION_S)


def fault_48_leader_of_a_stream_frozen(mesh):
    """The server with the Raft leader of order-svc's stream is frozen (SIGSTOP) under load: no
    connection closes. Who is connected to it leaves it, the others elect a new leader, and
    publishing goes on. The frozen server comes back, and its copy is completed."""
    cluster(mesh)
    load = mesh.load(seconds=2)
    mesh.wait_orders(60)
    leader = raft(mesh, "order-svc")["leader"]
    mesh.pause(leader)
    mesh.mark()
    orders_go_on(mesh)
    wait_until(lambda: raft(mesh, "order-svc").get("leader") not in (None, leader),
               "another server leads the stream", ELECTION_S)
    wait_published(mesh)
    mesh.resume(leader)
    wait_current(mesh)
    load.finish()
    mesh.check()


def fault_48_two_of_three_then_all_killed(mesh):
    """Two of three servers are killed under load: no stream takes anything, and orders are answered
    from the log alone. Then the last one is killed, too. All come back, and what was answered
    meanwhile is published."""
    cluster(mesh)
    load = mesh.load(seconds=2, rate=60)
    mesh.wait_orders(60)
    for server in SERVERS[:2]:
        mesh.kill(server)
    mesh.mark()
    orders_go_on(mesh)
    wait_until(lambda: mesh.stats("order-svc")["outbox"] > 10, "the outbox grows", 20)
    mesh.kill(SERVERS[2])
    for server in SERVERS:
        mesh.start(server, wait=False)
    wait_current(mesh)
    wait_published(mesh)
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_48_servers_wiped_in_turn(mesh):
    """Each server in turn is killed under load, its disk is lost, and it comes back empty: it gets
    the copies of all streams from the other two. At last no byte of the first stores is left."""
    cluster(mesh)
    load = mesh.load(seconds=2)
    for server in SERVERS:
        orders_go_on(mesh)
        mesh.kill(server)
        shutil.rmtree(os.path.join(mesh.folder, server, "jetstream"))
        mesh.mark()
        mesh.start(server)
        wait_current(mesh)
    wait_published(mesh)
    load.finish()
    mesh.check()


def replace(mesh, server, program):
    """As an operator upgrades a server: lame duck mode, the new program, and only when its copies
    are complete the next server."""
    mesh.signal(server, signal.SIGUSR2)
    mesh.wait_dead(server, ELECTION_S)
    mesh.server_program = program
    mesh.start(server)
    wait_current(mesh)


@needs(slow=True)
def fault_48_rolling_upgrade(mesh):
    """The servers are the oldest that the mesh works with. One after another they are replaced by
    the newest under load, and later by the old version again, as in a rollback. No event is lost,
    and orders are answered all the time."""
    oldest = os.path.join(ROOT, ".tools", "bin", "nats-server-2.10.27")
    if not os.path.exists(oldest):
        raise kit.Skipped(f"{oldest} is not there; run scripts/setup --tests")
    mesh.server_program = oldest
    for server in SERVERS:
        mesh.server_config('lame_duck_duration: "30s"\nlame_duck_grace_period: "100ms"', server)
    cluster(mesh)
    load = mesh.load(seconds=2, rate=60)
    for program in (None, oldest):
        for server in SERVERS:
            orders_go_on(mesh)
            replace(mesh, server, program)
    wait_published(mesh)
    load.finish()
    mesh.check()


def behind_proxies(mesh):
    """A cluster in which each server reaches each other one through a proxy of its own. Returns
    {(from, to): proxy}. A server learns no other address of the others: they advertise none that
    can be reached."""
    mesh.up("--servers", "3")
    mesh.script("down")
    with open(os.path.join(mesh.folder, "run", "route-port"), encoding="utf-8") as file:
        ports = dict(zip(SERVERS, file.read().split()))
    proxies = {(a, b): Proxy(int(ports[b])) for a in SERVERS for b in SERVERS if a != b}
    for server in SERVERS:
        routes = ", ".join(f'"{proxy.url}"' for (a, _), proxy in proxies.items() if a == server)
        mesh.server_config(f'cluster {{ name: "mesh", listen: "127.0.0.1:{ports[server]}"\n'
                           f'  advertise: "127.0.0.1:1", routes: [{routes}] }}', server)
    for server in SERVERS:
        mesh.start(server, wait=False)
    for name in SERVICES:
        mesh.start(name)
    wait_current(mesh)
    return proxies


@needs(slow=True)
def fault_48_server_cut_off(mesh):
    """A server is cut off from the other two, under load; its clients stay connected to it. The
    others go on, with a new Raft leader where it led. When it is joined again its copies are
    completed. The services are connected to a server of the majority."""
    proxies = behind_proxies(mesh)
    load = mesh.load(seconds=2, rate=60)
    for server in SERVERS[1:]:
        orders_go_on(mesh)
        cut = [proxy for pair, proxy in proxies.items() if server in pair]
        for proxy in cut:
            proxy.partition()
        mesh.mark()
        wait_until(lambda: raft(mesh, "order-svc").get("leader") not in (None, server),
                   "another server leads the stream", ELECTION_S)
        orders_go_on(mesh)
        wait_published(mesh)
        for proxy in cut:
            proxy.heal()
            with contextlib.suppress(OSError):
                proxy.reset()
        wait_current(mesh)
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_48_grown_from_one_server(mesh):
    """A mesh of one server becomes a cluster of three, as docs/OPERATIONS.md says: the services
    publish their logs into the empty cluster, and the streams have three copies."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mesh.script("down")
    mesh.up("--servers", "3")
    wait_current(mesh)
    wait_published(mesh)
    for name in SERVICES:
        replicas = mesh.api(f"STREAM.INFO.{LOG[name]}")["config"]["num_replicas"]
        require(replicas == 3, f"{LOG[name]} has {replicas} copies")
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
