"""Rows of input: repeated and reordered requests, and poison, at the endpoints and in the
streams."""
import datetime
import hashlib
import json
import os
import random
import shutil

from kit import LOG, SERVICES, logged, needs, order_of, require, wait_until
from journey import meshview                        # beside the scripts


def fault_40_repeated_and_reordered(mesh):
    """Every request is sent three times, in any order, all at once. Each request has one effect,
    and the same answer for every copy."""
    mesh.up()
    mesh.product(stock=100)
    account, draw = mesh.customer(), random.Random(1)
    wanted = [("order.place", order_of(account, quantity=1 + i % 3), f"fault-40-{i}", ())
              for i in range(60)] * 3
    draw.shuffle(wanted)
    answers = mesh.requests(wanted, timeout=10)
    by_key = {}
    with open(mesh.history, "a", encoding="utf-8") as history:
        for (subject, body, key, _), answer in zip(wanted, answers):
            require(answer, f"{key} has no answer")
            require(by_key.setdefault(key, answer) == answer,
                    f"{key} was answered {by_key[key]}, then {answer}")
            line = {"key": key, "subject": subject, "body": body, "answer": answer}
            history.write(json.dumps(line) + "\n")
    for member in ("error", "position"):
        require(any(member in answer for answer in by_key.values()),
                "the stock must be enough for some of the orders only")
    mesh.restart("order-svc")
    mesh.again()
    mesh.check()


def fault_40_same_key_with_another_body(mesh):
    """A used key comes with another body, or for another subject. The answer is conflict, without
    any effect; the same holds for the key of a refused request."""
    mesh.up()
    mesh.product(stock=5)
    account = mesh.customer()
    accepted = mesh.order(account, key="fault-40-accepted")
    refused = mesh.order(account, quantity=99, key="fault-40-refused")
    require("position" in accepted and refused["error"]["code"] == "out_of_stock",
            f"{accepted} {refused}")
    for _ in range(2):
        for key, body, subject in (
                ("fault-40-accepted", order_of(account, quantity=2), "order.place"),
                ("fault-40-refused", order_of(account), "order.place"),
                ("fault-40-accepted", {"order_id": accepted["order_id"]}, "order.cancel")):
            answer = mesh.request(subject, body, key)
            require(answer.get("error", {}).get("code") == "conflict",
                    f"{key} again, with another body: {answer}")
        mesh.restart("order-svc")
    placed = mesh.query("order-svc", "SELECT count(*) FROM event_log WHERE type = 'OrderPlaced'")
    require(placed == [(1,)], "another body took effect")
    mesh.again()
    mesh.check()


# ---- Row 41: poison at the endpoints -------------------------------------------------------------

POISON = [(b"", {"invalid_request"}), (b"{", {"invalid_request"}), (b"null", {"invalid_request"}),
          (b"[]", {"invalid_request"}), (b'{"account_id":1}', {"invalid_request"}),
          (b'{"account_id":"acc_x","account_id":"acc_y"}', {"invalid_request"}),
          (b"\xff\xfe{}", {"invalid_request"}), (b'{"account_id":"\\u0000"}', {"invalid_request"}),
          (b"[" * 60_000, {"invalid_request"}),
          (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {"invalid_request"}),
          (b"{}," * 21_000, {"invalid_request"}), (b"x" * 900_000, {"too_large"}),
          (b"{}," * 300_000, {"too_large"}),
          (b'{"account_id":"acc_x\\r\\nevil: 1","lines":[{"sku":"tea","quantity":1}]}',
           {"invalid_request", "unknown_account"}),
          (b'{"account_id":"acc_x","lines":[{"sku":"tea\\r\\nPUB evil 0\\r\\n","quantity":1}]}',
           {"invalid_request", "unknown_account"}),
          (b'{"account_id":"acc_x","lines":[{"sku":"tea","quantity":1e400}]}', {"invalid_request"}),
          (b'{"account_id":"acc_x","lines":[{"sku":"tea","quantity":99999999999999999999}]}',
           {"invalid_request"}), ]


def fault_41_poison_at_the_endpoints(mesh):
    """Bad JSON, wrong fields, nesting, a bomb of 900 KB, line breaks in ids and keys, at every
    endpoint. Each input is refused by name; nothing reaches log, stream or the services' logs, and
    memory stays small."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    heads = [mesh.head(name) for name in SERVICES]
    base = [mesh.resources(name)["rss_kb"] for name in SERVICES]
    subjects = ("order.place", "order.add-product", "account.register", "account.add-card",
                "order.get", "account.get", "order.events")
    for body, codes in POISON:
        for subject in subjects:
            if subject == "order.events" and body == b"":
                continue                               # all fields of this request are optional
            answer = mesh.request(subject, body, "fault-41-" + os.urandom(4).hex())
            code = (answer or {}).get("error", {}).get("code")
            require(code in codes | {"not_found"} or (code == "invalid_request" and codes),
                    f"{subject} {body[:60]!r}: {answer}")
    for key in ("a\tb", "x" * 600, "caf\u00e9\u0001"):
        answer = mesh.request("order.receive-stock", {"sku": "tea", "quantity": 1},
                              headers=[("Idempotency-Key", key)])
        require((answer or {}).get("error", {}).get("code") == "invalid_request",
                f"key {key!r}: {answer}")
    connection = mesh.client("poison")
    connection.connect()
    # Without a reply subject, and with reply subjects that are no inbox.
    connection.write(b"PUB order.get 5\r\nhello\r\n")
    connection.write(b"PUB order.get $JS.API.STREAM.DELETE.ORDER 2\r\n{}\r\n")
    connection.write(b"PUB order.get evt.order.OrderPaid 2\r\n{}\r\n")
    connection.write(b"PUB order.get order.place 2\r\n{}\r\n")  # the server refuses the first one
    connection.write(b"HPUB order.get _INBOX.x.y 12 14\r\nNATS/1.0\r\n\r\n{}\r\n")
    wait_until(lambda: mesh.log_text("order-svc").count("event=reply_subject_refused") >= 2,
               "a reply subject that is no inbox is refused")
    connection.close()
    require([mesh.head(name) for name in SERVICES] == heads, "poison reached a log")
    for name, kb in zip(SERVICES, base):
        wait_until(lambda: mesh.resources(name)["rss_kb"] < kb + 32 * 1024,
                   lambda: f"{name} grew from {kb} kB: {mesh.resources(name)}")
    mesh.check()


# ---- Row 41: poison in the streams ---------------------------------------------------------------

def forge(mesh, subject, headers, body):
    """Publishes a message into a stream of another owner. This mesh has no permissions; the owner
    still detects the message (rule 5)."""
    return mesh.request(subject, body, headers=headers)


def event_headers(name, kind, position, chain="00" * 32, entity="ord_x", **more):
    prefix, ident = LOG[name].lower(), f"01a20000-0000-7000-8000-{position:012}"
    headers = {
        "ce-specversion": "1.0", "ce-id": ident, "ce-source": f"/{name}",
        "ce-type": f"{prefix}.{kind}.v1", "ce-subject": entity,
        "ce-time": "2026-11-23T08:00:00.000Z", "ce-datacontenttype": "application/json",
        "Nats-Msg-Id": ident,
        "ce-dataschema": f"https://journey-mesh.example/schemas/evt.{prefix}.{kind}.json",
        "Journey-Position": str(position), "Journey-Chain": chain
    }
    headers.update(more)
    return list(headers.items())


def forge_next(mesh, name, kind, entity, data, last):
    """Publishes an event that follows the log's last one (position, chain as hex) in position and
    chain, and is of its term, as only the owner should."""
    log, position = LOG[name], last[0] + 1
    term = mesh.query(name, "SELECT data ->> 'term' FROM event_log WHERE type = 'TermBegan' "
                      "ORDER BY position DESC LIMIT 1")[0][0]
    headers = dict(event_headers(name, kind, position))
    time_ms = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.timezone.utc).timestamp() * 1000
    fields = (log, str(position), headers["ce-id"], kind, entity, str(int(time_ms)), None, None,
              None, None, None, data)
    digest = hashlib.sha256(b"".join(meshview.Mesh.field(value) for value in fields)).digest()
    chain = hashlib.sha256(bytes.fromhex(last[1]) + digest).hexdigest()
    answer = mesh.request(f"evt.{log.lower()}.{kind}", data.encode(),
                          headers=event_headers(name, kind, position, chain, entity,
                                                **{"Journey-Term": str(term)}))
    require(answer and answer.get("seq", 0) > 0, f"the fault had no effect: {answer}")
    return position, chain


def healed(mesh, remade):
    """order-svc has made its stream anew once more, names the reason, and takes requests."""
    def is_healed():
        stats = mesh.stats("order-svc") or {}
        return (stats.get("state") == "ready" and stats["stream_remade"] > remade
                and stats["published"] == stats["position"])
    wait_until(is_healed, lambda: f"the stream is healed: {mesh.stats('order-svc')}", 40)
    logged(mesh, "order-svc",
           'event=stream_deleted_to_be_made_anew .*reason=".*not (an event|events) of ours"',
           "the log does not name the reason")


def foreign(mesh, messages):
    """Foreign messages come into the stream of an idle order-svc. The audit finds them, order-svc
    reports them and makes its stream anew from its log; no message has any effect."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    heads = [mesh.head(name) for name in SERVICES]
    cursor = mesh.query("account-svc", "SELECT position FROM cursors")
    for subject, headers, body in messages(mesh):
        answer = forge(mesh, subject, headers, body)
        require(answer and answer.get("seq", 0) > 0, f"the fault had no effect: {answer}")
    healed(mesh, 0)
    logged(mesh, "order-svc", "level=error .*event=foreign_message",
           "the log does not report the foreign message")
    require([mesh.head(name) for name in SERVICES] == heads,
            "a foreign message took effect in a log")
    require(mesh.query("account-svc", "SELECT position FROM cursors") == cursor,
            "a foreign message moved the reader's cursor")
    wait_until(lambda: source_is_right(mesh), lambda: f"the reader goes on: {source_of(mesh)}", 40)
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


@needs(slow=True)
def fault_41_bad_json_in_the_stream(mesh):
    """Messages with bad JSON, without headers, and from a foreign source come into a stream. The
    owner makes the stream anew; no message has any effect."""
    def messages(mesh):
        position = mesh.head("order-svc")[0]
        yield "evt.order.OrderPaid", (), b"this is not JSON"
        yield "evt.order.OrderPaid", event_headers("order-svc", "OrderPaid", position + 1), b"{"
        yield "evt.order.OrderPaid", event_headers("account-svc", "OrderPaid", position + 2), b"{}"
        yield "evt.order.Evil", event_headers("order-svc", "Evil", position + 1,
                                              **{"ce-id": "x%0D%0AEVIL%01"}), b"{}"
    foreign(mesh, messages)


@needs(slow=True)
def fault_41_big_message_in_the_stream(mesh):
    """A message of 1 MB of `{},` comes into a stream. The owner makes the stream anew; the message
    has no effect."""
    foreign(
        mesh, lambda mesh: [("evt.order.OrderPaid",
                             event_headers("order-svc", "OrderPaid",
                                           mesh.head("order-svc")[0] + 1), b"{}," * 340_000)])


def without_leader(mesh):
    """A settled mesh whose order-svc has stopped: only the reader sees foreign events in the
    stream. (order-svc itself would accept events that continue its own chain: row 42 prevents this
    forgery by permissions.)"""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop("order-svc")
    return mesh.head("order-svc")


def leader_back(mesh):
    """The operator decides that the leader's log is right: the stream is deleted and recreated from
    the log."""
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream cannot be deleted")
    mesh.start("order-svc")


def source_of(mesh):
    return mesh.stats("account-svc")["sources"]["ORDER"]


@needs(slow=True)
def fault_41_gap_in_the_stream(mesh):
    """A whole event from far ahead comes into a stream while its leader is down. The reader does
    not jump: it requests the missing events from the leader, reports the gap, and goes on in order
    when the leader is back."""
    position, _ = without_leader(mesh)
    cursor = source_of(mesh)["cursor"]
    data = json.dumps({"order_id": "ord_x", "account_id": "acc_x"})
    answer = mesh.request("evt.order.OrderShipped", data.encode(),
                          headers=event_headers("order-svc", "OrderShipped", position + 1000))
    require(answer and answer.get("seq", 0) > 0, f"the fault had no effect: {answer}")
    wait_until(lambda: mesh.log_has("account-svc", f"event=gap log=ORDER after_position={cursor}"),
               "the reader reports the gap")
    require(source_of(mesh)["cursor"] == cursor, "the cursor jumped")
    leader_back(mesh)
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


@needs(slow=True)
def fault_41_wrong_schema_in_the_stream(mesh):
    """An event that follows in position and chain, but fails its schema, comes into a stream. The
    reader parks the event and the next event of the same order; events of another order flow on.
    When the leader's log turns out to differ, the reader becomes forked; after a rebuild from the
    streams, all is right."""
    last = without_leader(mesh)
    orders = mesh.query(
        "order-svc",
        "SELECT order_id, account_id FROM orders WHERE status = 3 ORDER BY order_id DESC LIMIT 2")
    (bad, bad_account), (good, good_account) = orders
    shipped = {
        order: json.dumps({"order_id": order, "account_id": account}) for order, account in orders
    }
    last = forge_next(mesh, "order-svc", "OrderPaid", bad, '{"order_id":17}', last)
    last = forge_next(mesh, "order-svc", "OrderShipped", bad, shipped[bad], last)
    last = forge_next(mesh, "order-svc", "OrderShipped", good, shipped[good], last)
    wait_until(lambda: source_of(mesh)["cursor"] == last[0],
               lambda: f"the reader reads them: {source_of(mesh)}")
    parked = mesh.ask("account.parked", {})["parked"]
    require([row["position"] for row in parked] == [last[0] - 2, last[0] - 1], f"parked: {parked}")
    require(mesh.stats("account-svc")["parked"] == 2, "statistics do not report the parked events")
    logged(mesh, "account-svc", "level=error .*event=event_parked .*OrderPaid",
           "the log does not report the parked events")
    shown = {row["order_id"]: row["status"] for account in (bad_account, good_account)
             for row in mesh.ask("account.get", {"account_id": account})["purchases"]}
    require((shown.get(bad), shown.get(good)) == ("paid", "shipped"),
            f"what flows on and what does not: {shown}")
    leader_back(mesh)
    account, sku = mesh.buyers()[0], mesh.product("mug")
    for _ in range(4):
        mesh.order(account, sku)
    wait_until(lambda: source_of(mesh)["state"] == "forked",
               lambda: f"the reader reports the fork: {source_of(mesh)}", 20)
    mesh.stop("account-svc")
    shutil.rmtree(mesh.data("account-svc"))
    mesh.start("account-svc")
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


# ---- Row 45: another writer in the leader's pipeline ---------------------------------------------

IN_FLIGHT = 128


def intrude(mesh, account, sku, fences=False):
    """Many orders at once, and in the middle of them one message that is no event of order-svc;
    `fences`: with the expected sequence that is right at this moment, as the relay does it. Returns
    whether the stream took the message."""
    orders = [("order.place", order_of(account, sku), f"fault-45-{os.urandom(6).hex()}", ())
              for _ in range(IN_FLIGHT)]
    headers = ()
    if fences:
        last = mesh.stream_state("order-svc")["last_seq"]
        headers = (("Nats-Expected-Last-Sequence", str(last)),)
    intruder = ("evt.order.Intruder", {"x": 1}, None, headers)
    middle = IN_FLIGHT // 2
    answers = mesh.requests([*orders[:middle], intruder, *orders[middle:]], 20.0)
    taken = answers.pop(middle)
    require(all(answer and "position" in answer for answer in answers), "an order was not accepted")
    # a refusal carries a sequence as well, which is 0
    return taken is not None and taken.get("seq", 0) > 0


def fault_45_intruder_in_the_pipeline(mesh):
    """Another client writes into order-svc's stream while 128 orders are in flight. The relay hears
    of it with the group that meets it, and makes the stream anew from the log: at the end the
    stream is the log (I6), order-svc is ready, and the reason is in its log."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    account = mesh.buyers()[0]
    sku = mesh.product("mug", 100_000)
    for fences in (False, True, False):
        remade = mesh.stats("order-svc")["stream_remade"]
        while not intrude(mesh, account, sku, fences):
            pass
        healed(mesh, remade)
    by_audit = mesh.log_text("order-svc").count('reason="the audit found')
    require(by_audit < 3, "only the audit has noticed")     # it may come just when an intruder does
    mesh.check()


def source_is_right(mesh):
    """account-svc has read all of order-svc's log, and says so."""
    source = source_of(mesh)
    return (source["state"] == "pulling" and source["lag"] == 0
            and source["cursor"] == mesh.head("order-svc")[0])


def forge_events(mesh, positions):
    """Well-formed events of order-svc at these positions, whose chains follow nothing."""
    for position in positions:
        chain = os.urandom(32).hex()
        ident = f"01a2{os.urandom(2).hex()}-0000-7000-8000-{position:012}"
        data = json.dumps({"order_id": "ord_forged", "account_id": "acc_forged"}).encode()
        answer = forge(mesh, "evt.order.OrderShipped",
                       event_headers("order-svc", "OrderShipped", position, chain,
                                     **{"ce-id": ident, "Nats-Msg-Id": ident}), data)
        require(answer and answer.get("seq", 0) > 0, f"the fault had no effect: {answer}")


def fault_45_forged_events_at_a_reader(mesh):
    """Somebody publishes well-formed events in order-svc's name, before order-svc does: at the next
    position, several in a row, at a position that was read, and far ahead. account-svc asks
    order-svc, passes them over by name, and goes on; nobody says `forked`, and at the end the
    stream is the log."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    account = mesh.buyers()[0]
    sku = mesh.product("mug", 100_000)
    for shift in ((1,), (1, 2, 3), (0,), (1000,)):
        mesh.quiet()
        remade, voids = mesh.stats("order-svc")["stream_remade"], source_of(mesh)["voids"]
        head = mesh.head("order-svc")[0]
        forge_events(mesh, [head + by for by in shift])
        wait_until(lambda: source_of(mesh)["voids"] > voids,
                   lambda: f"the reader names {shift}: {source_of(mesh)}", 20)
        answer = mesh.order(account, sku)
        require("position" in answer, f"an order was refused: {answer}")
        wait_until(lambda: (mesh.stats("order-svc") or {}).get("stream_remade", 0) > remade,
                   lambda: f"the stream is healed of {shift}: {mesh.stats('order-svc')}", 40)
        wait_until(lambda: source_is_right(mesh),
                   lambda: f"the reader goes on after {shift}: {source_of(mesh)}", 40)
    for name in SERVICES:
        require(not mesh.log_has(name, "state=forked"), f"{name} said `forked`")
    logged(mesh, "account-svc", "level=warn .*event=void_message stream=ORDER",
           "the void message is not named")
    mesh.check()


def fault_45_forged_event_while_the_leader_is_away(mesh):
    """A forged event at the next position while order-svc stands still: account-svc cannot ask, so
    it waits and says why, and is not `forked`. When order-svc goes on, the event is void."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    position = mesh.head("order-svc")[0]
    mesh.pause("order-svc")
    forge_events(mesh, [position + 1])
    wait_until(lambda: source_of(mesh)["state"] == "waiting",
               lambda: f"the reader waits: {source_of(mesh)}", 20)
    logged(mesh, "account-svc",
           f"level=warn .*event=event_does_not_follow log=ORDER position={position + 1}",
           "it does not say why")
    mesh.resume("order-svc")
    healed(mesh, 0)
    wait_until(lambda: source_is_right(mesh), lambda: f"the reader goes on: {source_of(mesh)}", 40)
    require(not mesh.log_has("account-svc", "state=forked"), "account-svc said `forked`")
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
