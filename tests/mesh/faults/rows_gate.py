"""The gate: answers that wait for the stream (--answer-when published), in rows 8, 18 and 46: what
was answered is in the stream, whatever is lost."""
import os
import shutil
import signal

import kit
from kit import SERVICES, require, wait_until

NAME = "order-svc"
NOBODY = "ord_019abc12-3456-7def-8123-456789abcdef"
PUBLISHED = ["--answer-when", "published", "--answer-wait-ms", "500"]


def code_of(answer):
    return (answer or {}).get("error", {}).get("code")


def fill_stream(mesh, account, sku, tag):
    """Places orders until the stream takes no more. Returns the key of the first that was not
    accepted, and its answer; each that was accepted is in the stream."""
    for number in range(400):
        key = f"{tag}-{number}"
        answer = mesh.order(account, sku, key=key)
        if "position" not in (answer or {}):
            return key, answer
        last = mesh.stream_state(NAME)["last_seq"]
        require(last >= answer["position"],
                f"{key} is answered with {answer['position']}, the stream ends at {last}")
    raise kit.Failed("the stream is never full")


def enlarge(mesh):
    config = mesh.api("STREAM.INFO.ORDER")["config"]
    require("error" not in mesh.api("STREAM.UPDATE.ORDER", dict(config, max_bytes=10_000_000)),
            "the stream cannot be enlarged")


def made_by(mesh, key):
    return mesh.query(NAME, "SELECT position FROM event_log WHERE cause = ?", "request/" + key)


def fault_18_published_stream_full(mesh):
    """With `--answer-when published` the stream becomes full. Orders are `unconfirmed`, never
    accepted and never `busy`, though they are in the database; so are queries and refusals. When
    the stream is enlarged, the same key gets the answer of the first time, and it was done once."""
    mesh.flags[NAME] = PUBLISHED + ["--stream-max-bytes", "40000"]
    mesh.up()
    account, sku = mesh.customer(), mesh.product()
    key, answer = fill_stream(mesh, account, sku, "full")
    require(code_of(answer) == "unconfirmed", f"{key} is answered with {answer}")
    require(len(made_by(mesh, key)) == 1, f"{key} has not happened once")
    for subject, body in (("order.get", {"order_id": NOBODY}), ("order.products", {}),
                          ("order.cancel", {"order_id": NOBODY})):
        got = code_of(mesh.request(subject, body, key="full-" + subject))
        require(got == "unconfirmed", f"{subject} says {got}")
    stats = mesh.stats(NAME)
    require(stats["unconfirmed"] >= 4 and stats["confirmed"] == stats["published"]
            and stats["confirmed"] < stats["position"], f"it says {stats}")
    require(mesh.log_has(NAME, "level=warn .*event=unconfirmed"), "the log does not say it")
    enlarge(mesh)
    again = wait_until(lambda: (mesh.order(account, sku, key=key) or {}).get("order_id"),
                       "the order is confirmed", 30)
    require(mesh.order(account, sku, key=key)["order_id"] == again, "the key has two answers")
    require(len(made_by(mesh, key)) == 1, f"{key} has happened more than once")
    wait_until(lambda: code_of(mesh.request("order.get", {"order_id": NOBODY})) == "not_found",
               "queries are answered", 20)
    mesh.check()


def fault_08_published_server_killed(mesh):
    """With `--answer-when published` the server is killed (SIGKILL) under load, with commits that
    it has not acknowledged, and loses what it has not synced. Who had no answer asks again."""
    for name in SERVICES:
        mesh.flags[name] = list(PUBLISHED)
    mesh.up()
    load = mesh.load(seconds=3)
    for count in range(1, 8 if kit.FULL else 3):
        mesh.wait_orders(60 * count)
        mesh.kill("server")
        mesh.start("server")
    load.finish()
    mesh.again()
    mesh.check()


def lose_machine(mesh, name=NAME):
    """The process and its disk are gone at this instant; another machine takes the name."""
    mesh.signal(name, signal.SIGKILL)
    mesh.wait_dead(name)
    shutil.rmtree(mesh.data(name))
    os.mkdir(mesh.data(name))
    mesh.start(name, wait=False)


def fault_46_machine_lost_right_after_an_answer(mesh):
    """With `--answer-when published` the machine of order-svc is lost with its disk in the moment
    in which an order is answered, again and again: the order is in the stream, and the same key
    gets the same answer."""
    mesh.flags[NAME] = list(PUBLISHED)
    mesh.up()
    account, sku = mesh.customer(), mesh.product(stock=100_000)
    for turn in range(100 if kit.FULL else 3):
        keys = [f"last-{turn}-{n}" for n in range(8)]
        answers = mesh.requests([("order.place", kit.order_of(account, sku), key, ())
                                 for key in keys])
        lose_machine(mesh)
        mesh.wait_takes(NAME, 60)
        for key, answer in zip(keys, answers):
            if "order_id" not in (answer or {}):
                continue
            again = mesh.order(account, sku, key=key)
            require((again or {}).get("order_id") == answer["order_id"],
                    f"{key} was answered with {answer}, and later with {again}")
    mesh.check()


def fault_46_machines_lost_under_load(mesh):
    """With `--answer-when published` the machine of order-svc, then that of account-svc, is lost
    with its disk under load, again and again: no answered request is missing, none is there twice,
    each reaction to an event is there once."""
    for name in SERVICES:
        mesh.flags[name] = list(PUBLISHED)
    mesh.up()
    load = mesh.load(seconds=4)
    for turn in range(100 if kit.FULL else 4):
        mesh.wait_orders(40 * (turn + 1), 60)
        lose_machine(mesh, SERVICES[turn % 2])
        mesh.wait_takes(SERVICES[turn % 2], 60)
    load.finish()
    mesh.check()
