"""Rows of fairness: one client, or who watches and reads the log, slows nobody else."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import threading
import time

import kit
from kit import logged, order_of, require, wait_until

RATIO_MAX = 100        # p99 beside a flood: so many times the quiet one, of at least QUIET_LEAST
QUIET_LEAST = 0.002    # seconds, on an idle machine
DAY_MS = 86_400_000


def p99(mesh, subject, body, count=100, key=None):
    """The 99th percentile of the seconds that one request after the other takes. None is refused.
    """
    times = []
    for i in range(count):
        begun = time.monotonic()
        mesh.ask(subject, body, key and f"{key}-{i}", timeout=20)
        times.append(time.monotonic() - begun)
    return sorted(times)[int(count * 0.99) - 1]


def require_like(quiet, now, what):
    ratio = now / max(quiet, kit.slower(QUIET_LEAST))
    require(ratio < RATIO_MAX, f"{what}: p99 {now * 1000:.0f} ms, {quiet * 1000:.1f} ms before")
    return f"{what} {ratio:.1f}"


@contextlib.contextmanager
def flood(mesh, subject, body, count):
    """Another client sends the same request without end, `count` of them at a time, some times a
    second: more than may wait, and less than what libnats drops unseen."""
    peer = mesh.client("flood")
    peer.connect()
    peer.socket.settimeout(1)
    once = b"PUB %s %s.x %d\r\n%s\r\n" % (subject.encode(), peer.inbox.encode(), len(body), body)
    stopped = threading.Event()

    def send():
        while not stopped.is_set() and peer.socket:
            with contextlib.suppress(OSError):
                peer.socket.sendall(once * count)
            kit.let_pass(0.05)
            peer.poll(0)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        peer.close()


# ---- Row 57: a flood, and tables that are huge ---------------------------------------------------

def fault_57_flood_of_waiting_queries(mesh):
    """Another client sends queries without end that wait for a position which does not come. At
    most 1,024 wait; queries, orders and what services heal with are answered as before."""
    mesh.up()
    mesh.product()
    account = mesh.customer()
    asked = (("order.products", {"limit": 1}, None), ("order.events", {"after_position": 0}, None),
             ("order.parked", {}, None), ("order.place", order_of(account), "fault-57"))
    quiet = [p99(mesh, subject, body, key=key and key + "-q") for subject, body, key in asked]
    ahead = mesh.head("order-svc")[0] + 150_000
    with flood(mesh, "order.products", b'{"min_position":{"ORDER":%d}}' % ahead, 300):
        wait_until(lambda: mesh.stats("order-svc")["queries_waiting"] > 800, "queries wait")
        said = [require_like(before, p99(mesh, subject, body, key=key), subject)
                for before, (subject, body, key) in zip(quiet, asked)]
        waiting = mesh.stats("order-svc")["queries_waiting"]
        require(800 < waiting <= 1024, f"{waiting} queries wait")
    mesh.check()
    return ", ".join(said)


def fault_57_position_that_cannot_come(mesh):
    """A query demands a position that no service can reach while it waits: refused at once, with a
    sentence that says how far ahead it is. One that is near waits, and is refused after that."""
    mesh.up()
    mesh.product()
    head = mesh.head("order-svc")[0]
    begun = time.monotonic()
    answers = mesh.requests([("order.products", {"min_position": {"ORDER": 2 ** 53 - 1}}, None, ())
                             for _ in range(3000)], timeout=30)
    took = time.monotonic() - begun
    for answer in answers:
        error = (answer or {}).get("error", {})
        require(error.get("code") == "replaying" and "events ahead" in error["message"]
                and "min_position.ORDER" in error["message"], f"{answer}")
    require(mesh.stats("order-svc")["queries_waiting"] == 0, "one waits")
    near = mesh.request("order.products", {"min_position": {"ORDER": head + 1}}, timeout=30)
    require(near["error"]["code"] == "replaying" and "in time" in near["error"]["message"],
            f"{near}")
    mesh.check()
    return f"3,000 refused in {took:.1f} s"


def fault_57_huge_parked_table(mesh):
    """account-svc has 300,000 parked events. Its queries, which say how many there are, are as
    quick as before."""
    mesh.up()
    account = mesh.customer()
    quiet = p99(mesh, "account.get", {"account_id": account})
    mesh.stop("account-svc")
    with mesh.database("account-svc", write=True) as database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            " INSERT INTO parked SELECT 'ORDER', 1000000 + i, 'ord_' || i, 'OrderPaid', 'planted',"
            " 1 FROM n")
        database.commit()
    mesh.start("account-svc")
    now = p99(mesh, "account.get", {"account_id": account})
    answer = mesh.ask("account.get", {"account_id": account})
    require(answer["as_of"]["ORDER"]["parked"] == 300_000, f"{answer['as_of']}")
    mesh.stop("account-svc")
    with mesh.database("account-svc", write=True) as database:
        database.execute("DELETE FROM parked")
        database.commit()
    mesh.start("account-svc")
    mesh.check()
    return require_like(quiet, now, "account.get")


def fault_57_hundred_thousand_refusals(mesh):
    """order-svc remembers 200,000 refusals. Orders are placed as before; the half that is older
    than a week is forgotten while the service is idle, the other half is not."""
    mesh.up()
    mesh.product(stock=100_000)
    account = mesh.customer()
    quiet = p99(mesh, "order.place", order_of(account), key="quiet")
    mesh.stop("order-svc")
    now_ms = int(time.time() * 1000)
    with mesh.database("order-svc", write=True) as database:
        for name, time_ms in (("old", now_ms - 8 * DAY_MS), ("new", now_ms - 6 * DAY_MS)):
            database.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
                " INSERT INTO refusals SELECT ?1 || '-' || i, 'digest', 1, 'planted', ?2 FROM n",
                (name, time_ms))
        database.commit()
    mesh.start("order-svc")
    said = require_like(quiet, p99(mesh, "order.place", order_of(account), key="busy"),
                        "order.place")

    def left():
        return mesh.query("order-svc", "SELECT substr(key, 1, 3), count(*) FROM refusals"
                                       " WHERE message = 'planted' GROUP BY 1")
    wait_until(lambda: left() == [("new", 100_000)], lambda: f"old ones are forgotten: {left()}",
               60)
    mesh.check()
    return said


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "


def plant_rows(mesh, account):
    """100,000 removed cards of the account in both services, and as many orders of another account
    that wait for a card."""
    with mesh.database("account-svc", write=True) as database:
        database.execute(NUMBERS + "INSERT INTO cards SELECT ?, 'card_planted' || i, 3, 'visa',"
                                   " '4242', '2099-12' FROM n", (account,))
        database.commit()
    with mesh.database("order-svc", write=True) as database:
        database.execute(NUMBERS + "INSERT INTO customer_cards SELECT ?, 'card_planted' || i, 0,"
                                   " '2099-12', 'tok_planted' FROM n", (account,))
        columns = [row[1] for row in database.execute("PRAGMA table_info(orders)")]
        planted = {"order_id": "'ord_planted' || i", "account_id": "'acc_planted'", "status": "2",
                   "card_id": "NULL", "pay_until_ms": "9000000000000", "paid_ms": "NULL",
                   "paid_position": "NULL"}
        database.execute(NUMBERS + f"INSERT INTO orders SELECT "
                                   f"{', '.join(planted.get(name, name) for name in columns)}"
                                   f" FROM n, (SELECT * FROM orders LIMIT 1)")
        database.commit()


def unplant_rows(mesh):
    with mesh.database("account-svc", write=True) as database:
        database.execute("DELETE FROM cards WHERE card_id LIKE 'card_planted%'")
        database.commit()
    with mesh.database("order-svc", write=True) as database:
        database.execute("DELETE FROM customer_cards WHERE card_id LIKE 'card_planted%'")
        database.execute("DELETE FROM orders WHERE account_id = 'acc_planted'")
        database.commit()


def fault_57_removed_cards_and_waiting_orders(mesh):
    """An account has removed 100,000 cards, and 100,000 orders of another wait for a card. The
    account is read, its orders are placed, paid and listed as before."""
    mesh.up()
    mesh.product(stock=100_000)
    account = mesh.customer()
    asked = (("account.get", {"account_id": account}, None),
             ("order.place", order_of(account), "fault-57"),
             ("order.list", {"account_id": account, "limit": 10}, None))
    quiet = [p99(mesh, subject, body, key=key and key + "-q") for subject, body, key in asked]
    mesh.quiet()
    for name in kit.SERVICES:
        mesh.stop(name)
    plant_rows(mesh, account)
    for name in kit.SERVICES:
        mesh.start(name)
    said = [require_like(before, p99(mesh, subject, body, key=key), subject)
            for before, (subject, body, key) in zip(quiet, asked)]
    mesh.quiet()
    paid = mesh.query("order-svc", "SELECT count(*) FROM orders WHERE account_id = ?"
                                   " AND paid_ms IS NOT NULL", account)
    require(paid == [(200,)], f"{paid} orders are paid")
    for name in kit.SERVICES:
        mesh.stop(name)
    unplant_rows(mesh)
    for name in kit.SERVICES:
        mesh.start(name)
    mesh.check()
    return ", ".join(said)


def fault_57_costly_bodies(mesh):
    """Another client sends bodies of 60 KB without end that are refused. Orders and queries of the
    others are answered as before."""
    mesh.up()
    mesh.product()
    account = mesh.customer()
    quiet = p99(mesh, "order.place", order_of(account), key="quiet")
    body = b'{"lines":[' + b"{}," * 19_990 + b"{}]}"
    answer = mesh.request("order.place", body)
    require(answer["error"]["code"] == "invalid_request" and "values" in answer["error"]["message"],
            f"{answer}")
    with flood(mesh, "order.place", body, 10):
        said = require_like(quiet, p99(mesh, "order.place", order_of(account), key="busy"),
                            "order.place")
    mesh.check()
    return said


# ---- Row 58: who reads the log, who watches ------------------------------------------------------

class FullPipe:
    """A pipe as order-svc's stderr, already full: its reader stands still."""

    def __init__(self, mesh):
        self.path = os.path.join(mesh.folder, "full-pipe")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, 1031, 4096)               # F_SETPIPE_SZ
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.fd, b"x" * 4096)
        mesh.prefix["order-svc"] = ["sh", "-c", f'exec "$0" "$@" 2>"{self.path}"']

    def read_all(self):
        """What is in the pipe, until nothing has come for a moment."""
        text = b""
        silent = 0
        while silent < 20:
            try:
                text += os.read(self.fd, 65536)
                silent = 0
            except BlockingIOError:
                silent += 1
                kit.let_pass(0.02)
        return text.decode(errors="replace")


def evil_requests(mesh, count):
    """Requests whose reply subject is no inbox: refused, with a line in the log."""
    connection = mesh.client("evil")
    connection.connect()
    connection.socket.settimeout(kit.far(10))
    connection.socket.sendall(b"PUB order.products evil 2\r\n{}\r\n" * count)
    connection.request("order.products", b"{}", "behind")
    wait_until(lambda: connection.poll(0.1), "the server has taken them all")
    connection.close()


def fault_58_log_reader_stands_still(mesh):
    """order-svc's stderr is a full pipe from its start on, and its log is asked for at its most
    talkative. It starts, takes orders, says how many lines were lost, and stops when it is told to;
    when the reader goes on while it runs, the newest lines come."""
    mesh.env["order-svc"]["JOURNEY_LOG_LEVEL"] = "debug"
    pipe = FullPipe(mesh)
    mesh.up()
    mesh.product()
    account = mesh.customer()
    for _ in range(3000 // 100):
        mesh.requests([("order.cancel", {"order_id": "ord_nobody"}, None, ())] * 100)
    require("position" in mesh.order(account), "no order can be placed")
    wait_until(lambda: mesh.stats("order-svc")["lines_dropped"] > 1000, "lines are lost")
    text = pipe.read_all()
    require("event=log_lines_dropped" in text and "event=ready" in text,
            f"not there: {text[-2000:]}")
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe.fd, b"x" * 4096)
    mesh.signal("order-svc", signal.SIGTERM)
    mesh.wait_dead("order-svc")
    mesh.prefix["order-svc"] = []
    mesh.start("order-svc")
    require("position" in mesh.order(account), "no order can be placed")
    mesh.check()


def fault_58_flood_of_log_lines(mesh):
    """A client provokes 20,000 lines of one kind. The log has at most twenty of them in a second,
    and says how many more there were."""
    mesh.up()
    before = mesh.log_size("order-svc")
    evil_requests(mesh, 20_000)
    told = re.compile(r"event=log_lines_suppressed kind=reply_subject_refused lines=(\d+)")

    def counted():
        text = mesh.log_text("order-svc")[before:]
        return text.count("event=reply_subject_refused") + sum(map(int, told.findall(text)))
    wait_until(lambda: counted() == 20_000, lambda: f"all are counted: {counted()}")
    grown = mesh.log_size("order-svc") - before
    require(grown < 100_000, f"the log has grown by {grown} bytes")
    mesh.check()
    return f"{grown} bytes for 20,000 lines"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def page(port, path="/healthz"):
    """The status of a page; None: nobody answers."""
    with contextlib.suppress(OSError), \
            socket.create_connection(("127.0.0.1", port), timeout=kit.slower(4)) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = peer.recv(4096).split()
        return int(answer[1]) if len(answer) > 1 else None
    return None


def fault_58_http_port_taken(mesh):
    """Somebody has --http's port. order-svc starts and serves all the same and says so; when the
    port is free, it answers there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        mesh.flags["order-svc"] = ["--http", f"127.0.0.1:{port}"]
        mesh.up()
        mesh.product()
        require("position" in mesh.order(mesh.customer()), "no order can be placed")
        logged(mesh, "order-svc", r"event=http_cannot_listen .*Address already in use",
               "the log does not say so")
        require(mesh.stats("order-svc")["http_listening"] == 0, "it says that it listens")
    wait_until(lambda: page(port) == 200, "/healthz is there")
    logged(mesh, "order-svc", "event=http_listens", "the log does not say so")
    mesh.check()


def fault_58_http_slow_connections(mesh):
    """A hundred connections say nothing, or half a request, for as long as they can. /healthz goes
    on answering, requests and the stop too; a path with a NUL in it is no page."""
    port = free_port()
    mesh.flags["order-svc"] = ["--http", f"127.0.0.1:{port}"]
    mesh.up()
    require(page(port) == 200 and page(port, "/healthz%00x") == 404, "the pages are not as always")
    slow = []
    for i in range(100):
        peer = socket.create_connection(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            peer.sendall(b"GET /heal" if i % 2 else b"")
        slow.append(peer)
        require(i % 10 or page(port) == 200, f"silent beside {i} slow connections")
    require(page(port, "/metrics") == 200, "no metrics")
    mesh.stop("order-svc")
    for peer in slow:
        peer.close()
    mesh.start("order-svc")
    mesh.check()
