"""Rows of what somebody else has set: durables that are edited, made beforehand otherwise, or
limited by the server; settings of the streams; rights."""
import base64
import json
import os

from kit import LOG, READER, SERVICES, logged, needs, require, wait_until
from rows_bounds import service_command

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
        logged(mesh, "account-svc", f"event=notice of=.*ORDER.* field={field} ",
               f"{field} is not named", size)
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
    logged(mesh, "order-svc", "level=warn .*event=feed .*consumers limit", "no line")
    mesh.api("STREAM.UPDATE.ACCOUNT", dict(config, max_consumers=-1))
    mesh.wait_state("order-svc", "ready")
    mesh.check()


# ---- The stream ----------------------------------------------------------------------------------

def stream(mesh, log="ORDER"):
    return mesh.api(f"STREAM.INFO.{log}")


def edit_stream(mesh, **change):
    answer = mesh.api("STREAM.UPDATE.ORDER", dict(stream(mesh)["config"], **change))
    require("error" not in answer, f"the fault had no effect: {change}: {answer}")


def fault_49_age_limit_on_a_running_stream(mesh):
    """An operator gives the running stream an age limit. It is borne, named, and not undone: the
    stream begins later than 1 from then on, and a reader that needs older events asks the leader.
    """
    mesh.up()
    mesh.load(seconds=1).finish()
    created, size = stream(mesh)["created"], mesh.log_size("order-svc")
    edit_stream(mesh, max_age=2 * NS)
    wait_until(lambda: stream(mesh)["state"]["messages"] == 0, "the messages expire", 30)
    wait_until(lambda: notices(mesh, "order-svc").get(("max_age", str(2 * NS))) == "borne",
               lambda: f"it is named: {mesh.stats('order-svc')}", 30)
    mesh.load(seconds=1, seed=2).finish()
    mesh.stop("account-svc")
    for ending in ("", "-wal", "-shm"):
        if os.path.exists(mesh.database_path("account-svc") + ending):
            os.unlink(mesh.database_path("account-svc") + ending)
    mesh.start("account-svc")
    mesh.quiet()
    require(stream(mesh)["created"] == created, "the stream was made anew")
    require(stream(mesh)["config"]["max_age"] == 2 * NS, "the limit was undone")
    require(not mesh.log_has("order-svc", "stream_deleted", size), "the stream was deleted")
    require(mesh.state("order-svc") == "ready", f"{mesh.stats('order-svc')}")
    edit_stream(mesh, max_age=0)


def fault_49_settings_and_durables_survive(mesh):
    """An operator has set a description, compression, a duplicate window, an age limit, metadata;
    somebody else reads the stream with a durable. The stream is purged but for its last messages,
    then deleted: each time it is made anew with all of that, and the durable goes on at its place.
    """
    mesh.up()
    mesh.load(seconds=1).finish()
    mesh.quiet()
    answer = mesh.api("CONSUMER.CREATE.ORDER.analytics", {"stream_name": "ORDER", "config": {
        "durable_name": "analytics", "name": "analytics", "ack_policy": "explicit",
        "deliver_policy": "by_start_sequence", "opt_start_seq": 8, "max_deliver": 7}})
    require("error" not in answer, f"{answer}")
    change = {"description": "the books", "compression": "s2", "duplicate_window": 60 * NS,
              "max_consumers": 9, "allow_direct": True}
    edit_stream(mesh, **change, metadata={"team": "shop"})
    wait_until(lambda: notices(mesh, "order-svc").get(("description", "the books")),
               "the settings are seen", 30)
    for fault in (("STREAM.PURGE.ORDER", {"keep": 3}), ("STREAM.DELETE.ORDER", None)):
        if fault[1] is None:                  # before, it would explain what the purge has taken
            change["max_age"] = 3600 * NS
            edit_stream(mesh, max_age=change["max_age"])
            wait_until(lambda: ("max_age", str(change["max_age"])) in notices(mesh, "order-svc"),
                       "the limit is seen", 30)
        size = mesh.log_size("order-svc")
        wait_until(lambda: mesh.stats("order-svc")["audited_from"] > 0, "an audit has been", 30)
        require("error" not in mesh.api(*fault), "the fault had no effect")
        wait_until(lambda: mesh.log_has("order-svc", "durable_given_back .*analytics", size),
                   lambda: f"{fault}: the durable is given back: {mesh.stats('order-svc')}", 40)
        config = stream(mesh)["config"]
        for field, value in change.items():
            require(config[field] == value, f"{fault}: {field} is {config.get(field)}")
        require(config["metadata"]["team"] == "shop", f"{fault}: {config['metadata']}")
        reader = mesh.api("CONSUMER.INFO.ORDER.analytics")
        require(reader["ack_floor"]["stream_seq"] == 7, f"{fault}: {reader}")
        require(reader["config"]["max_deliver"] == 7, f"{fault}: {reader}")
    mesh.check()


SET = {"description": "the books", "max_age": 3600 * NS, "duplicate_window": 60 * NS}


def add_reader(mesh, name, **more):
    answer = mesh.api(f"CONSUMER.CREATE.ORDER.{name}", {"stream_name": "ORDER", "config": dict({
        "durable_name": name, "name": name, "ack_policy": "explicit", "deliver_policy": "all"},
        **more)})
    require("error" not in answer, f"{answer}")


def set_and_read(mesh):
    """Settings of an operator, and somebody else's durable that has read up to sequence 5; waits
    until both are in the service's file."""
    mesh.load(seconds=1).finish()
    mesh.quiet()
    edit_stream(mesh, **SET, metadata={"team": "shop"})
    add_reader(mesh, "analytics", deliver_policy="by_start_sequence", opt_start_seq=6,
               max_deliver=7)
    wait_until(lambda: kept(mesh) == (True, [("analytics", 5)]),
               lambda: f"they are in the file: {kept(mesh)}", 30)


def kept(mesh):
    """What the file has: the settings; durables of others, with their places."""
    rows = mesh.query("order-svc", "SELECT config FROM kept_streams WHERE stream = 'ORDER'")
    config = json.loads(rows[0][0]) if rows else {}
    others = mesh.query("order-svc", "SELECT name, position FROM kept_durables WHERE name <> ? "
                        "ORDER BY name", READER["ORDER"])
    return all(config.get(field) == value for field, value in SET.items()), others


def are_back(mesh):
    """The settings and the durable are those of set_and_read, and the file belongs to this stream.
    """
    def is_back():
        reader = mesh.api("CONSUMER.INFO.ORDER.analytics")
        return reader.get("ack_floor", {}).get("stream_seq") == 5
    wait_until(is_back, lambda: f"the durable is at its place: {mesh.stats('order-svc')}", 40)
    state = stream(mesh)
    for field, value in SET.items():
        require(state["config"][field] == value, f"{field} is {state['config'].get(field)}")
    require(state["config"]["metadata"]["team"] == "shop", f"{state['config']['metadata']}")
    reader = mesh.api("CONSUMER.INFO.ORDER.analytics")
    require(reader["config"]["max_deliver"] == 7, f"it is otherwise: {reader}")
    wait_until(lambda: mesh.query("order-svc", "SELECT created FROM kept_streams") ==
               [(state["created"],)], "the file says which stream has them", 30)


def fault_49_what_was_just_set_survives(mesh):
    """An operator sets something on the stream, somebody makes durables, and deletes one again, all
    between two audits; the stream is deleted before the next one. What was set and made is kept,
    because JetStream tells of it, and is there when the stream is made anew."""
    mesh.up()
    mesh.load(seconds=3).finish()
    mesh.quiet()

    def audited():
        return mesh.stats("order-svc")["audited_from"]
    for i in range(4):                     # until no audit has come meanwhile
        before = audited()
        wait_until(lambda before=before: audited() != before, "an audit", 40)
        before = audited()
        edit_stream(mesh, **SET, metadata={"team": "shop"})
        add_reader(mesh, f"reader{i}")
        add_reader(mesh, "analytics", deliver_policy="by_start_sequence", opt_start_seq=6,
                   max_deliver=7)
        require("error" not in mesh.api(f"CONSUMER.DELETE.ORDER.reader{i}"), "not deleted")
        wait_until(lambda: kept(mesh) == (True, [("analytics", 5)]),
                   lambda: f"they are in the file: {kept(mesh)}", 30)
        if audited() == before:
            break
        edit_stream(mesh, description="", max_age=0)
        mesh.api("CONSUMER.DELETE.ORDER.analytics")
        wait_until(lambda: kept(mesh) == (False, []), "nothing is in the file", 30)
    else:
        require(False, "each time they were kept with the next audit only")
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the fault had no effect")
    are_back(mesh)
    require("error" in mesh.api("CONSUMER.INFO.ORDER.reader0"), "what was deleted is back")
    mesh.check()


def fault_49_stream_deleted_while_the_service_is_down(mesh):
    """An operator has set an age limit and a description, and somebody else reads the stream with a
    durable. The service is killed, the stream deleted, the service started: it makes the stream as
    it was, and the durable goes on at its place. Then somebody makes the stream himself meanwhile:
    it is his, as he has set it, and the durable is given back."""
    mesh.up()
    set_and_read(mesh)
    mesh.kill("order-svc")
    require("error" not in mesh.api("STREAM.DELETE.ORDER"), "the fault had no effect")
    mesh.start("order-svc")
    are_back(mesh)
    mesh.kill("order-svc")
    config = dict(stream(mesh)["config"], description="mine")
    for verb, body in (("STREAM.DELETE.ORDER", None), ("STREAM.CREATE.ORDER", config)):
        answer = mesh.api(verb, body)
        require("error" not in answer, f"the fault had no effect: {answer}")
    size = mesh.log_size("order-svc")
    mesh.start("order-svc")
    wait_until(lambda: mesh.log_has("order-svc", "durable_given_back .*analytics", size),
               lambda: f"the durable is given back: {mesh.stats('order-svc')}", 40)
    require(stream(mesh)["config"]["description"] == "mine", "the settings were undone")
    mesh.check()


@needs("crash points")
def fault_49_killed_while_the_stream_is_made_anew(mesh):
    """The stream is purged but for its last messages, so the service deletes it and makes it anew;
    it is killed when the stream is deleted, then when it is made and the durable of somebody else
    not yet given back. The next start makes it as it was."""
    mesh.up()
    set_and_read(mesh)
    edit_stream(mesh, max_age=0)           # it would explain what the purge has taken
    wait_until(lambda: not kept(mesh)[0], "that is in the file", 30)
    for point in ("after_stream_deleted", "after_stream_made"):
        mesh.stop("order-svc")
        require("error" not in mesh.api("STREAM.PURGE.ORDER", {"keep": 3}), "no effect")
        mesh.start("order-svc", wait=False, JOURNEY_CRASH_AT=point)
        mesh.wait_dead("order-svc", 40)
        gone = mesh.api("CONSUMER.INFO.ORDER.analytics")
        require("error" in gone, f"{point}: the durable is there: {gone}")
        mesh.start("order-svc")
        edit_stream(mesh, max_age=SET["max_age"])
        are_back(mesh)
        edit_stream(mesh, max_age=0)
        wait_until(lambda: not kept(mesh)[0], "that is in the file", 30)
    mesh.check()


UNBEARABLE = [
    ({"no_ack": True}, {"no_ack": False}),
    ({"max_msgs_per_subject": 1000000}, {"max_msgs_per_subject": -1}),
    ({"max_msgs": 1000000, "discard": "old"}, {"max_msgs": -1, "discard": "new"}),
    ({"max_bytes": 100000000, "discard": "old"}, {"max_bytes": -1, "discard": "new"}),
    ({"subjects": ["evt.elsewhere.>"]}, {"subjects": ["evt.order.>"]}),
    ({"subject_transform": {"src": "evt.order.>", "dest": "evt.order.x.>"}},
     {"subject_transform": None}),
]


def fault_49_unbearable_settings_are_held_and_named(mesh):
    """An operator sets what the service cannot bear, one after another: no acknowledgements, limits
    that drop events, other subjects, a transform. The service is held, names the field, and goes on
    when it is set back. Requests are accepted meanwhile. Last the stream is sealed, which cannot be
    undone: the operator deletes it, and it is made anew."""
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    created = stream(mesh)["created"]
    for change, back in UNBEARABLE:
        edit_stream(mesh, **change)
        order = mesh.order(account, tea)
        require(order and "error" not in order, f"order.place: {order}")
        field = next(iter(change))
        if field == "subject_transform":       # it has changed what was published meanwhile
            require(stream(mesh)["created"] == created, "the stream was made anew")
        wait_until(lambda: any(f == field and kind == "held" for (f, _), kind in
                               notices(mesh, "order-svc").items()),
                   lambda: f"{field} is named: {mesh.stats('order-svc')}", 40)
        mesh.wait_state("order-svc", "held")
        edit_stream(mesh, **back)
        mesh.wait_state("order-svc", "ready", 40)
    # What was transformed is no event: the stream is made anew, before or after `ready` was seen.
    wait_until(lambda: stream(mesh).get("created", created) != created, "it is made anew", 40)
    mesh.wait_state("order-svc", "ready", 40)
    edit_stream(mesh, sealed=True)
    mesh.order(account, tea)
    mesh.wait_state("order-svc", "held", 40)
    require(notices(mesh, "order-svc").get(("sealed", "true")) == "held", "sealed is not named")
    mesh.api("STREAM.DELETE.ORDER")
    mesh.wait_state("order-svc", "ready", 40)
    mesh.check()


# ---- The server's own messages -------------------------------------------------------------------

def fault_51_markers_of_the_server(mesh):
    """The server writes markers of its own into the streams, because they have an age limit and
    subject_delete_marker_ttl. They are the server's: nobody is forked, no stream is made anew, and
    events go on behind them; also when a service starts and finds nothing else."""
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    sees(mesh, account, tea)
    created = {}
    for log in LOG.values():
        config = dict(stream(mesh, log)["config"], max_age=NS, allow_msg_ttl=True,
                      subject_delete_marker_ttl=3600 * NS, allow_rollup_hdrs=True)
        answer = mesh.api(f"STREAM.UPDATE.{log}", config)
        require("error" not in answer, f"the fault had no effect: {answer}")
        created[log] = stream(mesh, log)["created"]

    def has_marker(log):
        last = mesh.api(f"STREAM.MSG.GET.{log}", {"seq": stream(mesh, log)["state"]["last_seq"]})
        return b"Nats-Marker-Reason" in base64.b64decode(last.get("message", {}).get("hdrs", ""))
    for log in LOG.values():
        wait_until(lambda: has_marker(log), f"a marker is in {log}", 30)
    sees(mesh, account, tea)
    for log in LOG.values():
        wait_until(lambda: has_marker(log), f"a marker is in {log}", 30)
    for name in SERVICES:
        mesh.restart(name)
    sees(mesh, account, tea)
    mesh.load(seconds=1).finish()
    for name, log in LOG.items():
        mesh.wait_state(name, "ready")
        require(stream(mesh, log)["created"] == created[log], f"{log} was made anew")
        require(not mesh.log_has(name, "forked|foreign_message"), f"{name} takes it for foreign")
    wait_until(lambda: has_marker("ORDER"), "a marker is at the end", 30)
    edit_stream(mesh, max_age=0)           # what is behind the markers stays
    sees(mesh, account, tea)
    mesh.stop("order-svc")
    last = stream(mesh)["state"]["last_seq"]
    require(last > mesh.head("order-svc")[0], f"markers take sequences: {last}")
    said = service_command(mesh, "order-svc", "verify")
    require("each message is the log's event, or a marker of the server" in said, said)
    require("DIFFERENT" not in said, said)


# ---- Several servers -----------------------------------------------------------------------------

def fault_52_one_of_several_servers_is_dead(mesh):
    """--server names several servers, and the first is dead. The service uses the next."""
    mesh.up()
    account, tea = mesh.customer(), mesh.product()
    mesh.stop("order-svc")
    mesh.flags["order-svc"] = ["--server", f"nats://127.0.0.1:1,{mesh.url}"]
    mesh.start("order-svc")
    sees(mesh, account, tea)
    mesh.check()
