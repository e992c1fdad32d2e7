"""Rows of what somebody else has set: durables that are edited, made beforehand otherwise, or
limited by the server; settings of the streams; rights."""
import os

from kit import LOG, READER, SERVICES, needs, require, wait_until

NS = 1_000_000_000


def notices(mesh, name):
    """What a service says that it found: {(field, value): kind}."""
    return {(n["field"], n["value"]): n["is"] for n in (mesh.stats(name) or {}).get("notices", [])}


def durable(mesh, log):
    return mesh.api(f"CONSUMER.INFO.{log}.{READER[log]}")


def edit_durable(mesh, log, **change):
    config = dict(durable(mesh, log)["config"], **change)
    answer = mesh.api(f"CONSUMER.CREATE.{log}.{READER[log]}",
                      {"stream_name": log, "config": config, "action": "update"})
    require("error" not in answer, f"the fault had no effect: {answer}")


def sees(mesh, account, tea):
    """An order, and that the account's service has seen it."""
    order = mesh.order(account, tea)
    require(order and "error" not in order, f"order.place: {order}")
    count = "SELECT count(*) FROM purchases WHERE order_id = ?"
    wait_until(lambda: mesh.query("account-svc", count, order["order_id"])[0][0] == 1,
               lambda: f"account-svc sees the order: {mesh.stats('account-svc')}", 40)


# ---- Durables ------------------------------------------------------------------------------------

def fault_50_durable_edited(mesh):
    """An operator edits a reader's durable while the reader runs: smaller pulls, shorter waits. The
    reader makes it anew at its cursor, says which field was otherwise, and goes on."""
    edit_each(mesh, {"max_batch": 10}, {"max_expires": NS})
    mesh.check()


@needs(slow=True)
def fault_50_durable_edited_unseen(mesh):
    """The same with edits that no pull is refused for: a filter, headers only, few in flight, an
    end by itself, a pause. The reader finds them when it next looks."""
    account, tea = edit_each(
        mesh, {"headers_only": True, "max_deliver": 3},
        {"filter_subject": "evt.order.ProductAdded", "max_ack_pending": 5},
        {"inactive_threshold": 3600 * NS, "ack_wait": NS // 10})
    answer = mesh.api("CONSUMER.PAUSE.ORDER.account-svc", {"pause_until": "2099-01-01T00:00:00Z"})
    require("error" not in answer, f"the fault had no effect: {answer}")
    sees(mesh, account, tea)
    mesh.check()


def edit_each(mesh, *edits):
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    sees(mesh, account, tea)
    for edit in edits:
        size = mesh.log_size("account-svc")
        edit_durable(mesh, "ORDER", **edit)
        sees(mesh, account, tea)
        field, value = next(iter(edit.items()))
        wait_until(lambda: durable(mesh, "ORDER").get("config", {field: value}).get(field) != value,
                   f"the durable is made anew without {edit}", 40)
        require(mesh.log_has("account-svc", f"event=notice of=.*ORDER.* field={field} ", size),
                f"{field} is not named")
    return account, tea


def fault_50_durable_made_otherwise(mesh):
    """Before a reader starts, somebody makes its durable otherwise: explicit acknowledgements, from
    new messages on, pushed to a subject, at the original speed, for a priority group. The reader
    makes it anew at its cursor."""
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    name = "account-svc"
    for config in ({"ack_policy": "explicit", "deliver_policy": "new"},
                   {"ack_policy": "all", "deliver_policy": "all", "deliver_subject": "x.y"},
                   {"ack_policy": "all", "deliver_policy": "all", "replay_policy": "original"},
                   {"ack_policy": "explicit", "deliver_policy": "last",
                    "priority_groups": ["a"], "priority_policy": "overflow"}):
        mesh.stop(name)
        order = mesh.order(account, tea)
        mesh.api(f"CONSUMER.DELETE.ORDER.{name}")
        answer = mesh.api(f"CONSUMER.CREATE.ORDER.{name}", {
            "stream_name": "ORDER", "config": dict(config, durable_name=name, name=name)})
        require("error" not in answer, f"the fault had no effect: {answer}")
        mesh.start(name)
        count = "SELECT count(*) FROM purchases WHERE order_id = ?"
        wait_until(lambda: mesh.query(name, count, order["order_id"])[0][0] == 1,
                   lambda: f"{name} sees the order: {mesh.stats(name)}", 40)
    mesh.check()


def fault_50_limits_of_the_server(mesh):
    """The server's limits are smaller than what a reader asks for: the batch of a pull, and what
    may be in flight. The reader asks for less, and a fresh mesh works."""
    mesh.server_config("jetstream { store_dir: \"%s\", limits { max_request_batch: 100, "
                       "max_ack_pending: 300 } }" % os.path.join(mesh.folder, "server"))
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    sees(mesh, account, tea)
    for log in LOG.values():
        config = durable(mesh, log)["config"]
        require(config["max_batch"] == 100 and config["max_ack_pending"] <= 300, f"{config}")
    mesh.load(seconds=2).finish()
    mesh.quiet()
    mesh.server_config("")                 # the nats CLI, with which check() reads, wants more
    mesh.stop("server")
    mesh.start("server")
    mesh.check()


def fault_50_refused_durable_is_named(mesh):
    """The server refuses each durable, because the stream may have no consumer more. A service that
    has never read the other's log is not ready, says so with the server's words, and goes on when
    the operator has raised the limit."""
    mesh.up()
    mesh.customer()
    for name in SERVICES:
        mesh.stop(name)
    config = dict(mesh.api("STREAM.INFO.ACCOUNT")["config"], max_consumers=1)
    for verb, body in (("STREAM.DELETE.ACCOUNT", None), ("STREAM.CREATE.ACCOUNT", config),
                       ("CONSUMER.CREATE.ACCOUNT.other",
                        {"stream_name": "ACCOUNT", "config": {"durable_name": "other"}})):
        answer = mesh.api(verb, body)
        require("error" not in answer, f"{verb}: {answer}")
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(mesh.database_path("order-svc") + ending):
            os.unlink(mesh.database_path("order-svc") + ending)
    mesh.start("account-svc")
    mesh.start("order-svc", wait=False)
    wait_until(lambda: "consumers limit" in ((mesh.stats("order-svc") or {}).get("sources", {}).get(
        "ACCOUNT", {}).get("reason", "")), lambda: f"a reason: {mesh.stats('order-svc')}", 30)
    mesh.wait_state("order-svc", "held")
    require(mesh.log_has("order-svc", "level=warn .*event=feed .*consumers limit"), "no line")
    mesh.api("STREAM.UPDATE.ACCOUNT", dict(config, max_consumers=-1))
    mesh.wait_state("order-svc", "ready")
    mesh.check()
