"""Rows of a service as a process: paused, at another time, overloaded."""
import os
import socket
import time

import kit
from kit import SERVICES, logged, needs, require, wait_until
from reads import Reads


def paused(mesh, name):
    """A pause longer than the relay's, the sender's and the client's timeouts; in a full run also
    longer than the pings."""
    mesh.up()
    account = mesh.customer()
    load = mesh.load(seconds=4)
    mesh.wait_orders(80)
    with Reads(mesh, account):
        mesh.pause(name)
        kit.let_pass(30 if kit.FULL else 6)
        mesh.mark()
        mesh.resume(name)
        mesh.wait_takes(name)
        load.finish()
    mesh.check()
    mesh.again()


@needs(slow=True)
def fault_36_order_svc_paused(mesh):
    """order-svc is paused for longer than every timeout, while its customers retry. Each request
    has one effect, and no read goes back (I10)."""
    paused(mesh, "order-svc")


@needs(slow=True)
def fault_36_account_svc_paused(mesh):
    """account-svc is paused for longer than every timeout. No event takes effect twice."""
    paused(mesh, "account-svc")


# ---- Row 38: the clock ---------------------------------------------------------------------------

def set_clock(mesh, offset):
    with open(os.path.join(mesh.folder, "clock.new"), "w", encoding="utf-8") as file:
        file.write(offset + "\n")
    os.replace(os.path.join(mesh.folder, "clock.new"), os.path.join(mesh.folder, "clock"))


def with_clock(mesh):
    """Gives both services a false wall clock; the monotonic clock stays right."""
    set_clock(mesh, "+0")
    for name in SERVICES:
        mesh.env[name] = {
            "LD_PRELOAD": kit.faketime_library(),
            "FAKETIME_TIMESTAMP_FILE": os.path.join(mesh.folder, "clock"), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"
        }
    mesh.up()


def logged_time(mesh, name):
    """The wall clock of the newest event, in seconds."""
    return mesh.query(name,
                      "SELECT time_ms FROM event_log ORDER BY position DESC LIMIT 1")[0][0] / 1000


@needs("faketime", "no sanitizer")
def fault_38_clock_jumps_back(mesh):
    """The services' clock jumps an hour back, under load and with payments in flight. Logs go on,
    payments end in time."""
    with_clock(mesh)
    load = mesh.load(seconds=3)
    mesh.wait_orders(100)
    mesh.mark()
    set_clock(mesh, "-3600")
    load.finish()
    mesh.load(seconds=0.5, seed=2).finish()
    require(logged_time(mesh, "order-svc") < time.time() - 3000, "the clock did not jump")
    mesh.check(wait=15)


@needs("faketime", "no sanitizer", slow=True)
def fault_38_clock_jumps_ahead(mesh):
    """The services' clock jumps ten days ahead. An unpaid order is cancelled, because its deadline
    has passed, and its stock is released; everything else goes on."""
    with_clock(mesh)
    mesh.product(stock=1000)
    account = mesh.customer(tokens=("tok_timeout",))
    order = mesh.order(account)["order_id"]
    load = mesh.load(seconds=2)
    mesh.wait_orders(100)
    mesh.mark()
    set_clock(mesh, "+864000")
    wait_until(lambda: mesh.request("order.get", {"order_id": order}).get("status") == "cancelled",
               "the unpaid order is cancelled", 20)
    load.finish()
    mesh.load(seconds=0.5, seed=2).finish()
    require(logged_time(mesh, "order-svc") > time.time() + 800_000, "the clock did not jump")
    set_clock(mesh, "+0")                              # and ten days back
    mesh.load(seconds=0.5, seed=3).finish()
    mesh.check(wait=15)


def fault_38_clocks_jump_to_and_fro(mesh):
    """Under load each service's wall clock jumps repeatedly, each to another time: minutes, an
    hour, ten days, ahead and back. All work goes on, and no work waits for a far-away time."""
    mesh.be_breakable()
    mesh.up()
    load = mesh.load(seconds=4)
    mesh.wait_orders(60)
    for ahead_ms in (-3_600_000, 60_000, 864_000_000, -2_000, 3_600_000, 0):
        mesh.mark()
        before = [mesh.head(name)[0] for name in SERVICES]
        for name, one in zip(SERVICES, (ahead_ms, -ahead_ms // 10)):
            mesh.set_clock(name, one)

        def both_grow(before=before):
            return all(mesh.head(name)[0] > at for name, at in zip(SERVICES, before))
        wait_until(lambda: not load.runs() or both_grow(), "both logs grow", 20)
    load.finish()
    mesh.load(seconds=0.5, seed=2).finish()
    logged(mesh, "order-svc", "event=clock_set_back",
           "order-svc has not seen a clock that was set back")
    mesh.check(wait=20)


# ---- Row 39: more than it can do -----------------------------------------------------------------

def back_at_base_line(mesh, base):
    """Memory, descriptors, threads and WAL of both services return to their base line (I13)."""
    slack = {"rss_kb": 48 * 1024, "fds": 2, "threads": 0, "wal_bytes": 1024 * 1024}
    if kit.is_sanitized(mesh.build):
        slack["rss_kb"] = 1024 * 1024                  # a sanitizer keeps freed memory

    def settled(name):
        now = mesh.resources(name)
        return all(now[key] <= base[name][key] + slack[key] for key in slack)
    for name in SERVICES:
        wait_until(
            lambda: settled(name),
            lambda: f"{name} comes back to its base line {base[name]}: {mesh.resources(name)}", 15)


@needs(slow=True)
def fault_39_ten_times_the_load(mesh):
    """Ten times the load, in bursts of a thousand requests. Requests beyond the capacity are
    refused as busy; memory, descriptors, threads and WAL return to their base line (I13)."""
    for name in SERVICES:
        mesh.flags[name] = ["--queue-max", "256"]
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    base = {name: mesh.resources(name) for name in SERVICES}
    said = mesh.load(seconds=4, rate=20000, seed=2, in_flight=1000).finish()
    mesh.quiet()
    back_at_base_line(mesh, base)
    mesh.check()
    return said.splitlines()[-1]


@needs(slow=True)
def fault_39_slow_consumer(mesh):
    """A client sends ten thousand queries and reads no answer; another client subscribes to all
    events and stalls. The services and other clients' requests do not wait for them."""
    mesh.up()
    mesh.load(seconds=1).finish()
    base = {name: mesh.resources(name) for name in SERVICES}
    slow = []
    for subject in ("_INBOX.slow.>", "evt.>"):
        peer = socket.create_connection(("127.0.0.1", mesh.port))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sendall(b'CONNECT {"verbose":false,"name":"slow"}\r\nSUB %s 1\r\nPING\r\n'
                     % subject.encode())
        slow.append(peer)
    asked = b"".join(b"PUB order.products _INBOX.slow.%d 2\r\n{}\r\n" % i for i in range(10_000))
    load = mesh.load(seconds=3, rate=400, seed=2)
    slow[0].settimeout(0.5)
    try:
        slow[0].sendall(asked)
    except OSError:
        pass                                           # the server may close the connection
    took = mesh.wait_takes("order-svc")
    require(took < kit.slower(2), f"a request beside the slow consumer took {took:.1f} s")
    load.finish()
    for peer in slow:
        peer.close()
    mesh.check()
    back_at_base_line(mesh, base)
