"""Guards: the checker is checked. Each story here provokes what one guard of the services (common/base/guard.h) prevents. It runs
twice, with the programs of tests/mesh/breakable: with all guards, and scripts/check has to say that all is right; without that
guard, and scripts/check has to find what is wrong. A guard that nobody misses is a checker that proves nothing.

`scripts/faults --guards` runs them. A story is a function guard_NAME(mesh): it ends with a mesh at work, all faults healed."""
import glob
import itertools
import os
import re
import signal
import time

import kit
from basics import require, wait_until
from disk import Disk
from journey.proxy import Proxy
from rows_client import forge_next

LOST_S = 8                             # how long a mesh that never comes to rest is waited for
TRIES_MAX = 6
SERVICE = {"ack_after_commit": "account-svc", "chain_check": "account-svc", "cursor_in_transaction": "account-svc",
           "gap_rule": "account-svc", "react_once": "account-svc"}       # which one does without; else order-svc


# ---- What a story stands on ---------------------------------------------------------------------------

def at_work(mesh, tokens=("tok_ok",)):
    """A mesh with one customer and one product: its account."""
    mesh.up()
    mesh.product(stock=1000)
    return mesh.customer(tokens)


def events(mesh, name, kind):
    return mesh.query(name, "SELECT count(*) FROM event_log WHERE type = ?", kind)[0][0]


def orders(mesh, account, count, tag):
    """So many orders, all paid: their ids."""
    placed = [mesh.order(account, key=f"guard-{tag}-{i}")["order_id"] for i in range(count)]
    wait_until(lambda: events(mesh, "order-svc", "OrderPaid") >= count, "the orders are paid", 20)
    return placed


def all_published(mesh, name="order-svc"):
    wait_until(lambda: (mesh.stream_state(name) or {}).get("last_seq") == mesh.head(name)[0], f"{name} has published all", 20)


def cursor(mesh):
    """How far account-svc has read order-svc's log, by its file."""
    return (mesh.query("account-svc", "SELECT position FROM cursors WHERE log = 'ORDER'") or [(0,)])[0][0]


def dies(mesh, name, point, act):
    """Starts a service that dies at a named place, and lets act() provoke it until it is dead."""
    mesh.start(name, wait=False, JOURNEY_CRASH_AT=point)
    numbers = itertools.count()

    def is_dead():
        if mesh.runs(name) and mesh.answers(name):
            act(next(numbers))
        return not mesh.runs(name)
    wait_until(is_dead, f"{name} dies at {point}", 30)


def answered_at_death(mesh, point, tag, after=lambda: None):
    """order-svc dies at `point` of a request that was answered "accepted", if that can be. Whether an answer gets out, the machine
    decides: some tries."""
    for turn in range(TRIES_MAX):
        answers = []

        def act(number, turn=turn, answers=answers):
            answers.append(mesh.tell("order.receive-stock", {"sku": "tea", "quantity": 1}, f"guard-{tag}-{turn}-{number}"))
        mesh.stop("order-svc")
        dies(mesh, "order-svc", f"{point}:{4 + turn}", act)
        answered = [answer["position"] for answer in answers if answer and "position" in answer]
        after()
        lost = answered and mesh.query("order-svc", "SELECT count(*) FROM event_log WHERE position = ?", answered[-1])[0][0] == 0
        mesh.start("order-svc")
        mesh.wait_takes("order-svc")
        if lost or not mesh.env["order-svc"].get("JOURNEY_WITHOUT_GUARD"):
            return


# ---- The stories ----------------------------------------------------------------------------------------

def guard_ack_after_commit(mesh):
    """The reader acknowledges what it gets at once, and believes what the server says of its durable; killed before the commit."""
    account = at_work(mesh)
    orders(mesh, account, 3, "before")

    def at_server(what):
        return ((mesh.api("CONSUMER.INFO.ORDER.account-svc") or {}).get(what) or {}).get("stream_seq", 0)
    for turn in range(TRIES_MAX):
        mesh.quiet()
        before = mesh.head("order-svc")[0]
        with mesh.database("account-svc", write=True) as database:
            database.execute("BEGIN IMMEDIATE")            # so that it cannot commit; it waits a second for that
            mesh.order(account, key=f"guard-unread-{turn}")
            wait_until(lambda: at_server("delivered") > before, "an event is delivered", 20, 0.001)
            mesh.signal("account-svc", signal.SIGKILL)
            mesh.wait_dead("account-svc")
            database.execute("ROLLBACK")
        wait_until(lambda turn=turn: events(mesh, "order-svc", "OrderPaid") == 4 + turn, "it is paid", 20)
        all_published(mesh)
        is_ahead = at_server("ack_floor") > cursor(mesh)
        mesh.start("account-svc")
        if is_ahead or not mesh.env["account-svc"].get("JOURNEY_WITHOUT_GUARD"):
            return


def guard_chain_check(mesh):
    """The reader takes an event whose chain does not follow: one that a stranger put into the stream, while the leader was down."""
    account = at_work(mesh)
    orders(mesh, account, 3, "before")
    mesh.quiet()
    position, _ = mesh.head("order-svc")
    mesh.stop("order-svc")
    forge_next(mesh, "order-svc", "StockReceived", "tea", '{"sku":"tea","quantity":1}', (position, "ab" * 32))
    wait_until(lambda: cursor(mesh) > position or mesh.log_has("account-svc", "event=fork log=ORDER"), "the reader meets it", 20)
    mesh.stop("account-svc")
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream cannot be deleted")
    mesh.start("order-svc")
    orders(mesh, account, 2, "after")
    all_published(mesh)
    mesh.start("account-svc")


def guard_cursor_in_transaction(mesh):
    """The reader is killed between the commit of the effects and the writing of the cursor, and reads the same events again."""
    account = at_work(mesh)
    mesh.quiet()
    mesh.stop("account-svc")
    placed = orders(mesh, account, 5, "unread")
    all_published(mesh)
    mesh.start("account-svc", wait=False, JOURNEY_CRASH_AT="after_commit")
    mesh.wait_dead("account-svc")
    mesh.start("account-svc")
    wait_until(lambda: cursor(mesh) == mesh.head("order-svc")[0], "the reader has read all", 20)
    for order in placed:
        mesh.ask("order.ship", {"order_id": order})


def guard_expected_sequence(mesh):
    """What the relay published on a connection that broke reaches the server after all, when it has published it again."""
    account = at_work(mesh)
    mesh.quiet()
    mesh.stop("order-svc")
    proxy = Proxy(mesh.port)
    mesh.flags["order-svc"] = ["--server", proxy.url]
    mesh.start("order-svc")
    mesh.wait_takes("order-svc")
    before, connection = mesh.head("order-svc")[0], mesh.client("guard")
    proxy.hold_back()
    for i in range(5):                                     # nobody hears an answer: it is held back, too
        body = {"account_id": account, "lines": [{"sku": "tea", "quantity": 1}]}
        connection.request("order.place", kit.json.dumps(body).encode(), f"held-{i}", [("Idempotency-Key", f"guard-held-{i}")])
    wait_until(lambda: mesh.head("order-svc")[0] >= before + 10, "the orders are paid", 20)
    proxy.strand()
    all_published(mesh)
    state, end = mesh.stream_state("order-svc"), time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > end, "the server's duplicate window of 100 ms has passed", 5)
    carried = proxy.carried["to server"]
    proxy.deliver()
    wait_until(lambda: proxy.carried["to server"] > carried, "what was held back is handed on", 10)
    wait_until(lambda: not proxy.held and proxy_is_through(mesh, state), "the server has looked at it", 10)
    connection.close()


def proxy_is_through(mesh, state):
    """The server takes one connection's words in their order; a change of the stream or of its refusals shows that it has."""
    if not mesh.env["order-svc"].get("JOURNEY_WITHOUT_GUARD"):
        return True                                        # all of them are refused, which shows nowhere
    return mesh.stream_state("order-svc")["last_seq"] > state["last_seq"]


def guard_gap_rule(mesh):
    """An event is missing in the middle of the stream, and its leader is away. The reader jumps over it."""
    account = at_work(mesh)
    orders(mesh, account, 2, "before")
    mesh.quiet()
    mesh.stop("account-svc")
    first = mesh.head("order-svc")[0] + 1
    orders(mesh, account, 4, "unread")
    all_published(mesh)
    mesh.stop("order-svc")
    require(mesh.api("STREAM.MSG.DELETE.ORDER", {"seq": first, "no_erase": True}).get("success"), "the event cannot be deleted")
    mesh.start("account-svc")
    wait_until(lambda: cursor(mesh) > first or mesh.log_has("account-svc", "event=gap log=ORDER"), "the reader meets the gap", 20)
    mesh.start("order-svc")


def guard_idempotency_key(mesh):
    """A request is sent again under its key, as everybody does who got no answer."""
    account = at_work(mesh)
    for _ in range(2):
        mesh.order(account, key="guard-again")


def guard_parking_behind(mesh):
    """An event cannot be applied; a later one of the same customer overtakes it; then the cause is mended and the first is redriven."""
    account = at_work(mesh)
    mesh.quiet()

    def move(city):
        mesh.ask("account.change-address", {"account_id": account, "address": {
            "street": "2 Market Street", "city": city, "postal_code": "28195", "country": "DE"}})
        wait_until(lambda: mesh.query("order-svc", "SELECT position FROM cursors")[0][0] == mesh.head("account-svc")[0], "it is read", 20)
    with mesh.database("order-svc", write=True) as database:
        database.execute("CREATE TRIGGER poison BEFORE UPDATE ON customers WHEN NEW.city = 'Nowhere'"
                         " BEGIN SELECT RAISE(ABORT, 'there is no such place'); END")
    move("Nowhere")
    move("Ulm")
    with mesh.database("order-svc", write=True) as database:
        database.execute("DROP TRIGGER poison")
    answer = mesh.ask("order.redrive", {}, timeout=20.0)
    require(answer["redriven"] > 0 and answer["still_parked"] == 0, f"order.redrive says {answer}")


def guard_react_once(mesh):
    """The reader's database is lost, folded anew from its own stream, and reads what it has reacted to before."""
    mesh.order(at_work(mesh, ("tok_declined",)))
    wait_until(lambda: events(mesh, "account-svc", "CardDeclined") == 1, "a card is declined")
    mesh.quiet()
    mesh.stop("account-svc")
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(mesh.database_path("account-svc") + ending):
            os.unlink(mesh.database_path("account-svc") + ending)
    mesh.start("account-svc")
    mesh.wait_state("account-svc")


def guard_reply_after_commit(mesh):
    """The service is killed before a commit whose requests have been answered."""
    at_work(mesh)
    mesh.quiet()
    answered_at_death(mesh, "before_commit", "early")


def guard_sync_before_reply(mesh):
    """The power is cut after an answer: what was not synced is gone."""
    disk = Disk(mesh, "order-svc", power=True)
    at_work(mesh)
    mesh.quiet()
    answered_at_death(mesh, "after_reply", "power", disk.cut_power)


# ---- With and without -----------------------------------------------------------------------------------

STORIES = {name.removeprefix("guard_"): story for name, story in list(globals().items()) if re.match(r"guard_[a-z]", name)}
QUICK = ("gap_rule", "idempotency_key")


def without_story():
    """Guards that the sources mark, and that no story provokes."""
    marked = set()
    for path in glob.glob(os.path.join(kit.ROOT, "common", "**", "*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            marked |= set(re.findall(r"\bGUARD\((\w+)\)", file.read()))
    require(marked, "the sources mark no guard")
    return sorted(marked - set(STORIES))


def violations(mesh, wait):
    """The titles of the checks that scripts/check finds wrong."""
    done = kit.subprocess.run([os.path.join(kit.SCRIPTS, "check"), "--dir", mesh.folder, "--wait", str(kit.slower(wait))],
                              env=dict(mesh.environment(), JOURNEY_PATIENCE="1"), stdin=kit.subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=kit.far(180))
    found = [line[2:].rsplit(None, 2)[0].strip() for line in done.stdout.splitlines() if line.startswith("x ")]
    require((done.returncode == 1) == bool(found), f"scripts/check ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found


def is_missed(mesh, guard):
    """The story with all guards, then without this one; what was found wrong then."""
    service = SERVICE.get(guard, "order-svc")
    whole = kit.Mesh(os.path.join(mesh.folder, "whole"), mesh.build).be_breakable()
    try:
        STORIES[guard](whole)
        whole.check()
    finally:
        left = whole.down()
    require(not left, f"still alive with all guards: {left}")
    mesh.be_breakable()
    mesh.env[service]["JOURNEY_WITHOUT_GUARD"] = guard
    STORIES[guard](mesh)
    found = violations(mesh, LOST_S)
    require(found, f"{service} without {guard} passes scripts/check: the checker does not notice")
    return "figure: " + "; ".join(found)
