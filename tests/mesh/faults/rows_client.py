"""Rows of what comes in: requests repeated and reordered, and poison, at the endpoints and in the streams."""
import datetime
import hashlib
import json
import os
import random
import shutil

from kit import LOG, SERVICES, needs, require, wait_until
from journey import meshview                        # beside the scripts


def fault_40_repeated_and_reordered(mesh):
    """Every request is sent three times, in any order, all at once. Each has one effect, and one answer whoever asks."""
    mesh.up()
    mesh.product(stock=100)
    account, draw = mesh.customer(), random.Random(1)
    wanted = [("order.place", {"account_id": account, "lines": [{"sku": "tea", "quantity": 1 + i % 3}]}, f"fault-40-{i}", ())
              for i in range(60)] * 3
    draw.shuffle(wanted)
    answers = mesh.requests(wanted, timeout=10)
    by_key = {}
    with open(mesh.history, "a", encoding="utf-8") as history:
        for (subject, body, key, _), answer in zip(wanted, answers):
            require(answer, f"{key} has no answer")
            require(by_key.setdefault(key, answer) == answer, f"{key} was answered {by_key[key]}, then {answer}")
            history.write(json.dumps({"key": key, "subject": subject, "body": body, "answer": answer}) + "\n")
    require(any("error" in answer for answer in by_key.values()) and any("position" in answer for answer in by_key.values()),
            "the stock should be enough for some and not for all")
    mesh.restart("order-svc")
    mesh.again()
    mesh.check()


def fault_40_same_key_with_another_body(mesh):
    """A key that was used comes with another body, or for another subject. The answer is conflict, and nothing happens; the same for
    a key under which a request was refused."""
    mesh.up()
    mesh.product(stock=5)
    account = mesh.customer()
    accepted = mesh.order(account, key="fault-40-accepted")
    refused = mesh.order(account, quantity=99, key="fault-40-refused")
    require("position" in accepted and refused["error"]["code"] == "out_of_stock", f"{accepted} {refused}")
    for _ in range(2):
        for key, body, subject in (("fault-40-accepted", {"account_id": account, "lines": [{"sku": "tea", "quantity": 2}]}, "order.place"),
                                   ("fault-40-refused", {"account_id": account, "lines": [{"sku": "tea", "quantity": 1}]}, "order.place"),
                                   ("fault-40-accepted", {"order_id": accepted["order_id"]}, "order.cancel")):
            answer = mesh.request(subject, body, key)
            require(answer.get("error", {}).get("code") == "conflict", f"{key} again, with another body: {answer}")
        mesh.restart("order-svc")
    require(mesh.query("order-svc", "SELECT count(*) FROM event_log WHERE type = 'OrderPlaced'") == [(1,)], "another body took effect")
    mesh.again()
    mesh.check()


# ---- Row 41: poison at the endpoints ------------------------------------------------------------------------

POISON = [
    (b"", {"invalid_request"}), (b"{", {"invalid_request"}), (b"null", {"invalid_request"}), (b"[]", {"invalid_request"}),
    (b'{"account_id":1}', {"invalid_request"}), (b'{"account_id":"acc_x","account_id":"acc_y"}', {"invalid_request"}),
    (b"\xff\xfe{}", {"invalid_request"}), (b'{"account_id":"\\u0000"}', {"invalid_request"}),
    (b"[" * 60_000, {"invalid_request"}), (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {"invalid_request"}),
    (b"{}," * 21_000, {"invalid_request"}), (b"x" * 900_000, {"too_large"}), (b"{}," * 300_000, {"too_large"}),
    (b'{"account_id":"acc_x\\r\\nevil: 1","lines":[{"sku":"tea","quantity":1}]}', {"invalid_request", "unknown_account"}),
    (b'{"account_id":"acc_x","lines":[{"sku":"tea\\r\\nPUB evil 0\\r\\n","quantity":1}]}', {"invalid_request", "unknown_account"}),
    (b'{"account_id":"acc_x","lines":[{"sku":"tea","quantity":1e400}]}', {"invalid_request"}),
    (b'{"account_id":"acc_x","lines":[{"sku":"tea","quantity":99999999999999999999}]}', {"invalid_request"}),
]


def fault_41_poison_at_the_endpoints(mesh):
    """Bad JSON, wrong fields, nesting, a bomb of 900 KB, line breaks in ids and keys, all at every endpoint. Each is refused by name;
    nothing reaches log, stream or the services' logs, and memory stays small."""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    heads, base = [mesh.head(name) for name in SERVICES], [mesh.resources(name)["rss_kb"] for name in SERVICES]
    subjects = ["order.place", "order.add-product", "account.register", "account.add-card", "order.get", "account.get", "order.events"]
    for body, codes in POISON:
        for subject in subjects:
            if subject == "order.events" and body == b"":
                continue                               # all of its fields are optional
            answer = mesh.request(subject, body, "fault-41-" + os.urandom(4).hex())
            code = (answer or {}).get("error", {}).get("code")
            require(code in codes | {"not_found"} or (code == "invalid_request" and codes), f"{subject} {body[:60]!r}: {answer}")
    for key in ("a\tb", "x" * 600, "caf\u00e9\u0001"):
        answer = mesh.request("order.receive-stock", {"sku": "tea", "quantity": 1}, headers=[("Idempotency-Key", key)])
        require((answer or {}).get("error", {}).get("code") == "invalid_request", f"key {key!r}: {answer}")
    connection = mesh.client("poison")
    connection.connect()
    connection.write(b"PUB order.get 5\r\nhello\r\n")                             # nobody to answer to
    connection.write(b"PUB order.get $JS.API.STREAM.DELETE.ORDER 2\r\n{}\r\n")     # somebody else's work
    connection.write(b"PUB order.get evt.order.OrderPaid 2\r\n{}\r\n")
    connection.write(b"HPUB order.get _INBOX.x.y 12 14\r\nNATS/1.0\r\n\r\n{}\r\n")
    wait_until(lambda: mesh.log_text("order-svc").count("event=reply_subject_refused") >= 2, "a reply subject that is no inbox is refused")
    connection.close()
    require([mesh.head(name) for name in SERVICES] == heads, "poison reached a log")
    for name, kb in zip(SERVICES, base):
        wait_until(lambda: mesh.resources(name)["rss_kb"] < kb + 32 * 1024, lambda: f"{name} grew from {kb} kB: {mesh.resources(name)}")
    mesh.check()


# ---- Row 41: poison in the streams ----------------------------------------------------------------------------

def forge(mesh, subject, headers, body):
    """A message in a stream that its owner did not write. This mesh has no permissions; the fourth rule still finds it."""
    return mesh.request(subject, body, headers=headers)


def event_headers(name, kind, position, chain="00" * 32, entity="ord_x", **more):
    prefix, ident = LOG[name].lower(), f"01a20000-0000-7000-8000-{position:012}"
    headers = {"ce-specversion": "1.0", "ce-id": ident, "ce-source": f"/{name}", "ce-type": f"{prefix}.{kind}.v1", "ce-subject": entity,
               "ce-time": "2026-11-23T08:00:00.000Z", "ce-datacontenttype": "application/json", "Nats-Msg-Id": ident,
               "ce-dataschema": f"https://journey-mesh.example/schemas/evt.{prefix}.{kind}.json",
               "Journey-Position": str(position), "Journey-Chain": chain}
    headers.update(more)
    return list(headers.items())


def forge_next(mesh, name, kind, entity, data, last):
    """An event that follows the log's last one (position, chain as hex) in position and chain, as only its owner should make one."""
    log, position = LOG[name], last[0] + 1
    headers = dict(event_headers(name, kind, position))
    time_ms = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.timezone.utc).timestamp() * 1000
    fields = (log, str(position), headers["ce-id"], kind, entity, str(int(time_ms)), None, None, None, None, None, data)
    digest = hashlib.sha256(b"".join(meshview.Mesh.field(value) for value in fields)).digest()
    chain = hashlib.sha256(bytes.fromhex(last[1]) + digest).hexdigest()
    answer = mesh.request(f"evt.{log.lower()}.{kind}", data.encode(), headers=event_headers(name, kind, position, chain, entity))
    require(answer and "seq" in answer, f"the fault did not strike: {answer}")
    return position, chain


def foreign(mesh, messages):
    """Messages that are not order-svc's come into its stream. It says so and stops writing; nothing of them takes effect anywhere;
    a person deletes the stream, and it is made anew from the log."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    heads, cursor = [mesh.head(name) for name in SERVICES], mesh.query("account-svc", "SELECT position FROM cursors")
    for subject, headers, body in messages(mesh):
        answer = forge(mesh, subject, headers, body)
        require(answer and "seq" in answer, f"the fault did not strike: {answer}")
    account, sku = mesh.query("order-svc", "SELECT account_id, (SELECT max(sku) FROM products) FROM customers WHERE is_open LIMIT 1")[0]
    mesh.wait_state("order-svc", "forked", 30)
    answer = mesh.request("order.place", {"account_id": account, "lines": [{"sku": sku, "quantity": 1}]})
    require(answer["error"]["code"] == "internal" and "operator" in answer["error"]["message"], f"a command to a forked service: {answer}")
    require("products" in mesh.request("order.products", {}), "queries do not go on")
    require(mesh.log_has("order-svc", "level=error .*event=foreign_message|level=error .*event=relay state=forked .*reason="),
            "the log does not say so")
    require([mesh.head(name) for name in SERVICES] == heads, "a foreign message took effect in a log")
    require(mesh.query("account-svc", "SELECT position FROM cursors") == cursor, "a foreign message moved the reader's cursor")
    mesh.stop("order-svc")                             # the person's choice: our log is right
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream cannot be deleted")
    mesh.start("order-svc")
    if source_of(mesh)["state"] == "forked":           # so does the reader, and says so: its cursor stands where it stood
        require(mesh.log_has("account-svc", "level=error .*event=fork log=ORDER"), "the reader's log does not say so")
        mesh.restart("account-svc")
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


@needs(slow=True)
def fault_41_bad_json_in_the_stream(mesh):
    """Messages with bad JSON, without headers, and from a foreign source come into a stream."""
    def messages(mesh):
        position = mesh.head("order-svc")[0]
        yield "evt.order.OrderPaid", (), b"this is not JSON"
        yield "evt.order.OrderPaid", event_headers("order-svc", "OrderPaid", position + 1), b"{"
        yield "evt.order.OrderPaid", event_headers("account-svc", "OrderPaid", position + 2), b"{}"
        yield "evt.order.Evil", event_headers("order-svc", "Evil", position + 3, **{"ce-id": "x%0D%0AEVIL%01"}), b"{}"
    foreign(mesh, messages)


@needs(slow=True)
def fault_41_big_message_in_the_stream(mesh):
    """A message of 1 MB of `{},` comes into a stream."""
    foreign(mesh, lambda mesh: [("evt.order.OrderPaid", event_headers("order-svc", "OrderPaid", mesh.head("order-svc")[0] + 1), b"{}," * 340_000)])


def without_leader(mesh):
    """A mesh in quiet, whose order-svc has stopped: only the reader sees what comes into the stream. (An order-svc that sees events
    with its own chain beyond its log would take them for its own: forging needs a key, and row 42 takes that away.)"""
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    mesh.mark()
    mesh.stop("order-svc")
    return mesh.head("order-svc")


def leader_back(mesh):
    """The person's choice: the leader's log is right. The stream is deleted and made anew from it."""
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the stream cannot be deleted")
    mesh.start("order-svc")


def source_of(mesh):
    return mesh.stats("account-svc")["sources"]["ORDER"]


@needs(slow=True)
def fault_41_gap_in_the_stream(mesh):
    """An event that is whole, but far ahead, comes into a stream while its leader is down. The reader does not jump: it asks the
    leader for what is missing, says so, and goes on in order when the leader is back."""
    position, _ = without_leader(mesh)
    cursor = source_of(mesh)["cursor"]
    data = json.dumps({"order_id": "ord_x", "account_id": "acc_x"})
    answer = mesh.request("evt.order.OrderShipped", data.encode(), headers=event_headers("order-svc", "OrderShipped", position + 1000))
    require(answer and "seq" in answer, f"the fault did not strike: {answer}")
    wait_until(lambda: mesh.log_has("account-svc", f"event=gap log=ORDER after_position={cursor}"), "the reader says that there is a gap")
    require(source_of(mesh)["cursor"] == cursor, "the cursor jumped")
    leader_back(mesh)
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()


@needs(slow=True)
def fault_41_wrong_schema_in_the_stream(mesh):
    """An event that follows, but fails its schema, comes into a stream. The reader parks it, and the next of the same order behind it;
    another order's flows on. When the leader's log turns out to be another one, the reader says fork; folded anew, all is right."""
    last = without_leader(mesh)
    orders = mesh.query("order-svc", "SELECT order_id, account_id FROM orders WHERE status = 3 ORDER BY order_id DESC LIMIT 2")
    (bad, bad_account), (good, good_account) = orders
    shipped = {order: json.dumps({"order_id": order, "account_id": account}) for order, account in orders}
    last = forge_next(mesh, "order-svc", "OrderPaid", bad, '{"order_id":17}', last)
    last = forge_next(mesh, "order-svc", "OrderShipped", bad, shipped[bad], last)
    last = forge_next(mesh, "order-svc", "OrderShipped", good, shipped[good], last)
    wait_until(lambda: source_of(mesh)["cursor"] == last[0], lambda: f"the reader takes them: {source_of(mesh)}")
    parked = mesh.ask("account.parked", {})["parked"]
    require([row["position"] for row in parked] == [last[0] - 2, last[0] - 1], f"parked: {parked}")
    require(mesh.stats("account-svc")["parked"] == 2 and mesh.log_has("account-svc", "level=error .*event=event_parked .*OrderPaid"),
            "stats or log do not say that events are parked")
    shown = {row["order_id"]: row["status"] for account in (bad_account, good_account)
             for row in mesh.ask("account.get", {"account_id": account})["purchases"]}
    require((shown.get(bad), shown.get(good)) == ("paid", "shipped"), f"what flows on and what does not: {shown}")
    leader_back(mesh)
    account, sku = mesh.query("order-svc", "SELECT account_id, (SELECT max(sku) FROM products) FROM customers WHERE is_open LIMIT 1")[0]
    for _ in range(4):
        mesh.order(account, sku)
    wait_until(lambda: source_of(mesh)["state"] == "forked", lambda: f"the reader says that the logs have forked: {source_of(mesh)}", 20)
    mesh.stop("account-svc")
    shutil.rmtree(mesh.data("account-svc"))
    mesh.start("account-svc")
    mesh.wait_ready()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
