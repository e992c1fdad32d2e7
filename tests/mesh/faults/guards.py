"""Guards: the test of scripts/check. Each story provokes the fault that one guard of the services
(common/base/guard.h) prevents. A story runs twice, with the programs of tests/mesh/breakable: with
all guards scripts/check must pass; without that guard scripts/check must fail. If it passes, it
proves nothing. What an operator has set, scripts/check does not know: such a story returns itself
what is lost.

`scripts/faults --guards` runs the stories. A story is a function guard_NAME(mesh), which ends with
a running mesh and all faults healed."""
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
from rows_client import forge_next, intrude
from rows_drift import SET, edit_stream, kept
from rows_gate import PUBLISHED, enlarge, lose_machine

LOST_S = 8                             # how long to wait for a mesh that never settles
TRIES_MAX = 6
# The service without the guard, where it is not order-svc.
SERVICE = {"ack_after_commit": "account-svc", "chain_check": "account-svc",
           "cursor_in_transaction": "account-svc", "gap_rule": "account-svc",
           "react_once": "account-svc"}


# ---- Parts of the stories ------------------------------------------------------------------------

def at_work(mesh, tokens=("tok_ok",)):
    """A mesh with one customer and one product. Returns the account."""
    mesh.up()
    mesh.product(stock=1000)
    return mesh.customer(tokens)


def events(mesh, name, kind):
    return mesh.query(name, "SELECT count(*) FROM event_log WHERE type = ?", kind)[0][0]


def orders(mesh, account, count, tag):
    """Places so many orders, and waits until all are paid. Returns their ids."""
    placed = [mesh.order(account, key=f"guard-{tag}-{i}")["order_id"] for i in range(count)]
    wait_until(lambda: events(mesh, "order-svc", "OrderPaid") >= count, "the orders are paid", 20)
    return placed


def all_published(mesh, name="order-svc"):
    wait_until(lambda: (mesh.stream_state(name) or {}).get("last_seq") == mesh.head(name)[0],
               f"{name} has published all", 20)


def cursor(mesh):
    """How far account-svc has read order-svc's log, from its file."""
    return (mesh.query("account-svc", "SELECT position FROM cursors WHERE log = 'ORDER'")
            or [(0,)])[0][0]


def dies(mesh, name, point, act):
    """Starts a service that dies at a crash point, and calls act() until it is dead."""
    mesh.start(name, wait=False, JOURNEY_CRASH_AT=point)
    numbers = itertools.count()

    def is_dead():
        if mesh.runs(name) and mesh.answers(name):
            act(next(numbers))
        return not mesh.runs(name)
    wait_until(is_dead, f"{name} dies at {point}", 30)


def answered_at_death(mesh, point, tag, after=lambda: None):
    """order-svc dies at `point` of a request that was accepted, if possible. Whether an answer gets
    out depends on the machine, so there are several tries."""
    for turn in range(TRIES_MAX):
        answers = []

        def act(number, turn=turn, answers=answers):
            answers.append(
                mesh.tell("order.receive-stock", {"sku": "tea", "quantity": 1},
                          f"guard-{tag}-{turn}-{number}"))
        mesh.stop("order-svc")
        dies(mesh, "order-svc", f"{point}:{4 + turn}", act)
        answered = [answer["position"] for answer in answers if answer and "position" in answer]
        after()
        lost = answered and not mesh.query(
            "order-svc", "SELECT 1 FROM event_log WHERE position = ?", answered[-1])
        mesh.start("order-svc")
        if not lost:
            mesh.wait_takes("order-svc")
        if lost or not mesh.env["order-svc"].get("JOURNEY_WITHOUT_GUARD"):
            return


# ---- The stories ---------------------------------------------------------------------------------

def guard_ack_after_commit(mesh):
    """The reader acknowledges events on arrival, and trusts the server's state of its durable; it
    is killed before the commit."""
    account = at_work(mesh)
    orders(mesh, account, 3, "before")

    def at_server(what):
        durable = mesh.api("CONSUMER.INFO.ORDER.account-svc") or {}
        return (durable.get(what) or {}).get("stream_seq", 0)
    for turn in range(TRIES_MAX):
        mesh.quiet()
        before = mesh.head("order-svc")[0]
        with mesh.database("account-svc", write=True) as database:
            database.execute("BEGIN IMMEDIATE")  # account-svc waits a second for this lock
            mesh.order(account, key=f"guard-unread-{turn}")
            wait_until(lambda: at_server("delivered") > before, "an event is delivered", 20, 0.001)
            mesh.signal("account-svc", signal.SIGKILL)
            mesh.wait_dead("account-svc")
            database.execute("ROLLBACK")
        wait_until(lambda turn=turn: events(mesh, "order-svc", "OrderPaid") == 4 + turn,
                   "it is paid", 20)
        all_published(mesh)
        is_ahead = at_server("ack_floor") > cursor(mesh)
        mesh.start("account-svc")
        if is_ahead or not mesh.env["account-svc"].get("JOURNEY_WITHOUT_GUARD"):
            return


def guard_chain_check(mesh):
    """The reader accepts an event whose chain does not follow: a foreign event that was published
    while the leader was down."""
    account = at_work(mesh)
    orders(mesh, account, 3, "before")
    mesh.quiet()
    position, _ = mesh.head("order-svc")
    mesh.stop("order-svc")
    forge_next(mesh, "order-svc", "StockReceived", "tea", '{"sku":"tea","quantity":1}',
               (position, "ab" * 32))
    wait_until(
        lambda: cursor(mesh) > position or mesh.log_has(
            "account-svc", "event=event_does_not_follow log=ORDER"),
        "the reader meets it", 20)
    mesh.stop("account-svc")
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream cannot be deleted")
    mesh.start("order-svc")
    orders(mesh, account, 2, "after")
    all_published(mesh)
    mesh.start("account-svc")


def guard_cursor_in_transaction(mesh):
    """The reader is killed between the commit of the effects and the writing of the cursor, and
    reads the same events again."""
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
    """Messages that the relay published on a broken connection reach the server after the relay has
    published them again."""
    account = at_work(mesh)
    mesh.quiet()
    mesh.stop("order-svc")
    proxy = Proxy(mesh.port)
    mesh.flags["order-svc"] = ["--server", proxy.url]
    mesh.start("order-svc")
    mesh.wait_takes("order-svc")
    before, connection = mesh.head("order-svc")[0], mesh.client("guard")
    proxy.hold_back()
    for i in range(5):                                     # the answers are held back, too
        body = kit.order_of(account)
        connection.request("order.place", kit.json.dumps(body).encode(), f"held-{i}",
                           [("Idempotency-Key", f"guard-held-{i}")])
    wait_until(lambda: mesh.head("order-svc")[0] >= before + 10, "the orders are paid", 20)
    proxy.strand()
    all_published(mesh)
    state, end = mesh.stream_state("order-svc"), time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > end, "the server's duplicate window of 100 ms has passed",
               5)
    carried = proxy.carried["to server"]
    proxy.deliver()
    wait_until(lambda: proxy.carried["to server"] > carried, "what was held back is handed on", 10)
    wait_until(lambda: not proxy.held and proxy_is_through(mesh, state),
               "the server has looked at it", 10)
    connection.close()


def proxy_is_through(mesh, state):
    """The server handles the messages of one connection in order; a change of the stream shows that
    it has handled these."""
    if not mesh.env["order-svc"].get("JOURNEY_WITHOUT_GUARD"):
        return True                                        # all are refused, which changes nothing
    return mesh.stream_state("order-svc")["last_seq"] > state["last_seq"]


def guard_fence(mesh):
    """A foreign message takes the place of one of many events in flight, and the relay asks for the
    last acknowledgement alone."""
    account = at_work(mesh)
    sku = mesh.product("mug", 100_000)
    for _ in range(4 * TRIES_MAX):
        mesh.quiet()
        remade = mesh.stats("order-svc")["stream_remade"]
        while not intrude(mesh, account, sku):
            pass
        all_published(mesh)
        if mesh.stats("order-svc")["stream_remade"] == remade:
            return
        if not mesh.env["order-svc"].get("JOURNEY_WITHOUT_GUARD"):
            return


def guard_gap_rule(mesh):
    """An event is missing in the middle of the stream, and its leader is away. The reader jumps
    over the gap."""
    account = at_work(mesh)
    orders(mesh, account, 2, "before")
    mesh.quiet()
    mesh.stop("account-svc")
    first = mesh.head("order-svc")[0] + 1
    orders(mesh, account, 4, "unread")
    all_published(mesh)
    mesh.stop("order-svc")
    deleted = mesh.api("STREAM.MSG.DELETE.ORDER", {"seq": first, "no_erase": True})
    require(deleted.get("success"), "the event cannot be deleted")
    mesh.start("account-svc")
    wait_until(lambda: cursor(mesh) > first or mesh.log_has("account-svc", "event=gap log=ORDER"),
               "the reader meets the gap", 20)
    mesh.start("order-svc")


def guard_gate(mesh):
    """Answers do not wait for the stream, which is full, and the machine is lost with its disk."""
    mesh.flags["order-svc"] = PUBLISHED + ["--stream-max-bytes", "40000"]
    account = at_work(mesh)
    for number in range(400):
        answer = mesh.order(account, key=f"guard-gate-{number}")
        position = (answer or {}).get("position", 0)
        if not position or position > mesh.stream_state("order-svc")["last_seq"]:
            break
    lose_machine(mesh)
    enlarge(mesh)
    mesh.wait_takes("order-svc", 60)


def guard_idempotency_key(mesh):
    """A request is retried under its key, as after a missing answer."""
    account = at_work(mesh)
    for _ in range(2):
        mesh.order(account, key="guard-again")


def guard_kept_settings(mesh):
    """The stream is deleted, and what an operator has set on it with it. Returns what is lost."""
    at_work(mesh)
    all_published(mesh)
    edit_stream(mesh, **SET)
    wait_until(lambda: kept(mesh)[0], "the settings are in the file", 30)

    def stream():
        return mesh.api("STREAM.INFO.ORDER")
    created = stream()["created"]
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream is still there")
    wait_until(lambda: stream().get("created", created) != created, "it is made anew", 30)
    all_published(mesh)
    config = stream()["config"]
    return [f"{field} of ORDER is lost" for field, value in SET.items()
            if config.get(field) != value]


def guard_parking_behind(mesh):
    """An event cannot be applied; a later event of the same customer overtakes it; then the cause
    is removed and the first event is redriven."""
    account = at_work(mesh)
    mesh.quiet()

    def move(city):
        mesh.ask("account.change-address", {"account_id": account, "address": {
            "street": "2 Market Street", "city": city, "postal_code": "28195", "country": "DE"}})
        head = mesh.head("account-svc")[0]
        wait_until(lambda: mesh.query("order-svc", "SELECT position FROM cursors")[0][0] == head,
                   "the event is read", 20)
    with mesh.database("order-svc", write=True) as database:
        database.execute(
            "CREATE INDEX poison ON customers (abs(-9223372036854775807 - (city = 'Nowhere')))")
    move("Nowhere")
    move("Ulm")
    with mesh.database("order-svc", write=True) as database:
        database.execute("DROP INDEX poison")
    answer = mesh.ask("order.redrive", {}, timeout=20.0)
    require(answer["redriven"] > 0 and answer["still_parked"] == 0, f"order.redrive says {answer}")


def guard_react_once(mesh):
    """The reader's database is lost and rebuilt from its own stream; the reader then reads events
    again to which it has reacted."""
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
    """The service is killed before the commit of requests that it has answered."""
    at_work(mesh)
    mesh.quiet()
    answered_at_death(mesh, "before_commit", "early")


def guard_sync_before_reply(mesh):
    """The power is cut after an answer: unsynced data is lost."""
    disk = Disk(mesh, "order-svc", power=True)
    at_work(mesh)
    mesh.quiet()
    answered_at_death(mesh, "after_reply", "power", disk.cut_power)


# ---- With and without ----------------------------------------------------------------------------

STORIES = {name.removeprefix("guard_"): story for name, story in list(globals().items())
           if re.match(r"guard_[a-z]", name)}
QUICK = ("gap_rule", "idempotency_key")


# Those of leadership want several instances, and that of the cause a log that was lost: the
# simulation has them (scripts/simulate --check-the-checks).
BY_OTHERS = {"cause_by_id", "group_of_term", "term"}


def without_story():
    """Guards in the sources that no story provokes."""
    marked = set()
    for path in glob.glob(os.path.join(kit.ROOT, "common", "**", "*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            marked |= set(re.findall(r"\bGUARD\((\w+)\)", file.read()))
    require(marked, "the sources mark no guard")
    return sorted(marked - set(STORIES) - BY_OTHERS)


def violations(mesh, wait):
    """The titles of the checks that fail in scripts/check."""
    command = [os.path.join(kit.SCRIPTS, "check"), "--dir", mesh.folder, "--wait",
               str(kit.slower(wait))]
    environment = dict(mesh.environment(), JOURNEY_PATIENCE="1")
    done = kit.subprocess.run(command, env=environment, stdin=kit.subprocess.DEVNULL,
                              capture_output=True, text=True, check=False, timeout=kit.far(180))
    found = [line[2:].rsplit(None, 2)[0].strip() for line in done.stdout.splitlines()
             if line.startswith("x ")]
    require((done.returncode == 1) == bool(found),
            f"scripts/check ends with {done.returncode}:\n{done.stdout}{done.stderr}")
    return found


def is_missed(mesh, guard):
    """Runs the story with all guards, then without this one; returns what scripts/check reports
    then."""
    service = SERVICE.get(guard, "order-svc")
    whole = kit.Mesh(os.path.join(mesh.folder, "whole"), mesh.build).be_breakable()
    try:
        lost = STORIES[guard](whole)
        require(not lost, f"with all guards: {lost}")
        whole.check()
    finally:
        left = whole.down()
    require(not left, f"still alive with all guards: {left}")
    mesh.be_breakable()
    mesh.env[service]["JOURNEY_WITHOUT_GUARD"] = guard
    found = STORIES[guard](mesh) or violations(mesh, LOST_S)
    require(found, f"{service} without {guard} passes scripts/check, which must fail")
    return "figure: " + "; ".join(found)
