"""Rows of the network between the services and their server: partitions, resets, loss and delay."""
import os
import shutil
import subprocess
import time

import kit
from kit import SERVICES, needs, require, wait_until
from journey.proxy import TO_CLIENT, TO_SERVER, Proxy


def behind_proxies(mesh):
    """A mesh whose services reach the server through one proxy each; customers reach the server
    directly."""
    mesh.up()
    proxies = {}
    for name in SERVICES:
        mesh.stop(name)
        proxies[name] = Proxy(mesh.port)
        mesh.flags[name] = ["--server", proxies[name].url]
        mesh.start(name)
    mesh.wait_ready()
    return proxies


def passes(proxy):
    """How many bytes the proxy has carried, both ways."""
    return sum(proxy.carried.values())


def told(mesh, name, size, event):
    wait_until(lambda: mesh.log_has(name, f"event={event}", size), f"{name} says {event}", 30)


def partition(mesh, seconds):
    proxies = behind_proxies(mesh)
    load = mesh.load(seconds=2, rate=80)
    mesh.wait_orders(60)
    mesh.mark()
    for name in SERVICES:
        size = mesh.log_size(name)
        proxies[name].partition()
        before, end = passes(proxies[name]), time.monotonic() + seconds
        if seconds > 12:  # two pings without an answer, five seconds apart
            told(mesh, name, size, "disconnected")
        wait_until(lambda: time.monotonic() > end, "the partition is over", seconds + 1)
        require(passes(proxies[name]) == before, "the partition let something through")
        proxies[name].heal()
        mesh.wait_takes(name, 30)
    load.finish()
    mesh.check()


def fault_32_partition_short(mesh):
    """Each service in turn is cut off from the server for a second and a half, under load; the
    connections stay open. Afterwards all work goes on."""
    partition(mesh, 1.5)


@needs(slow=True)
def fault_32_partition_long(mesh):
    """Each service in turn is cut off for longer than its pings allow (16 s; in a full run 60 s).
    The service notices, reconnects, and goes on."""
    partition(mesh, 60 if kit.FULL else 16)


class Namespace:
    """A network namespace, joined to this machine by a pair of interfaces, whose packets nft can
    drop."""

    def __init__(self):
        self.name = f"mesh{os.getpid()}"
        net = f"10.213.{os.getpid() % 250}"
        self.host = net + ".1"
        here, there = f"jm{os.getpid()}a", f"jm{os.getpid()}b"
        for tool in ("ip", "nft"):
            if not shutil.which(tool):
                raise kit.Skipped(f"{tool} is not here")
        try:
            self.command("ip", "netns", "add", self.name)
            self.command("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns",
                         self.name)
            self.command("ip", "addr", "add", net + ".1/30", "dev", here)
            self.command("ip", "link", "set", here, "up")
            self.inside("ip", "addr", "add", net + ".2/30", "dev", there)
            self.inside("ip", "link", "set", there, "up")
        except subprocess.CalledProcessError as error:
            self.close()
            raise kit.Skipped(
                f"no network namespace can be made: {error.stderr.decode().strip()}") from None

    @staticmethod
    def command(*words):
        subprocess.run(words, check=True, capture_output=True)

    def inside(self, *words):
        self.command("ip", "netns", "exec", self.name, *words)

    def drop(self):
        self.inside(
            "nft", "add table inet cut;"
            " add chain inet cut gone { type filter hook output priority 0; policy drop; };"
            " add chain inet cut come { type filter hook input priority 0; policy drop; }")

    def heal(self):
        self.inside("nft", "delete table inet cut")

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


@needs("root", slow=True)
def fault_32_packets_dropped(mesh):
    """The kernel drops every packet between order-svc, in a network namespace, and the server, for
    16 s (in a full run 60 s). order-svc notices, reconnects, and goes on; account-svc is not
    affected."""
    space = Namespace()
    try:
        mesh.up()
        mesh.stop("server")
        mesh.server_config(f'listen: "0.0.0.0:{mesh.port}"')
        mesh.start("server")
        mesh.stop("order-svc")
        mesh.prefix["order-svc"] = ["ip", "netns", "exec", space.name]
        mesh.flags["order-svc"] = ["--server", f"nats://{space.host}:{mesh.port}"]
        mesh.start("order-svc")
        mesh.wait_ready()
        load = mesh.load(seconds=2, rate=80)
        mesh.wait_orders(60)
        mesh.mark()
        size, end = mesh.log_size("order-svc"), time.monotonic() + (60 if kit.FULL else 16)
        space.drop()
        told(mesh, "order-svc", size, "disconnected")
        require(mesh.state("account-svc") == "ready", "account-svc is affected")
        wait_until(lambda: time.monotonic() > end, "the partition is over", 62)
        space.heal()
        mesh.wait_takes("order-svc", 30)
        load.finish()
        mesh.check()
        mesh.stop("order-svc")
        mesh.may_be_down.add("order-svc")
    finally:
        space.close()


def fault_33_connections_reset(mesh):
    """All connections of both services are reset repeatedly under load. The services reconnect each
    time; no event is lost."""
    proxies = behind_proxies(mesh)
    load = mesh.load(seconds=3, rate=80)
    mesh.wait_orders(60)
    mesh.mark()
    for _ in range(5):
        for name in SERVICES:
            size = mesh.log_size(name)
            proxies[name].reset()
            told(mesh, name, size, "disconnected")
            told(mesh, name, size, "connected")
    load.finish()
    mesh.check()


def one_way(mesh, direction):
    proxies = behind_proxies(mesh)
    load = mesh.load(seconds=3, rate=80)
    mesh.wait_orders(60)
    mesh.mark()
    for name in SERVICES:
        proxies[name].hold(direction)
        end = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > end, "the relay's timeout has passed", 6)
        proxies[name].heal()
        mesh.wait_takes(name, 30)
    load.finish()
    mesh.check()


@needs(slow=True)
def fault_33_nothing_reaches_the_server(mesh):
    """For five seconds nothing from a service reaches the server, while the service still receives:
    publishes hang, and time out."""
    one_way(mesh, TO_SERVER)


@needs(slow=True)
def fault_33_nothing_reaches_the_service(mesh):
    """For five seconds a service receives nothing: its published events are stored, and no
    acknowledgement arrives (I6)."""
    one_way(mesh, TO_CLIENT)


def bad_line(mesh, seconds=3, **treatment):
    proxies = behind_proxies(mesh)
    for proxy in proxies.values():
        proxy.treat(**treatment)
    mesh.load(seconds=seconds, rate=40).finish()
    require(mesh.head("order-svc")[0] > 5, "nothing was ordered on the bad line")
    for proxy in proxies.values():
        require(passes(proxy) > 10000, "the line was not used")
    mesh.quiet()                                           # still on the bad connection
    for proxy in proxies.values():
        proxy.heal()
    mesh.check()


@needs(slow=True)
def fault_34_loss(mesh):
    """Of the pieces between services and server 10 % come late, as lost and retransmitted packets
    do."""
    bad_line(mesh, seconds=5, piece=1400, loss=0.1)


@needs(slow=True)
def fault_34_delay(mesh):
    """All messages between services and server are delayed by 200 ms."""
    bad_line(mesh, delay_s=0.2)


def fault_34_one_byte_at_a_time(mesh):
    """All data between services and server comes one byte at a time."""
    bad_line(mesh, seconds=2, piece=1)
