"""Rows of the streams: deleted, purged, damaged on the server's disk; a deleted durable."""
import os

from kit import LOG, READER, SERVICES, needs, require, wait_until
from reads import Watch

AUDIT_S = 15                           # the relay audits the stream every 10 s


def strike(mesh, fault, why):
    """Under load: injects a fault into each stream, and expects the owner to log that it recreates
    the stream, and to do so."""
    mesh.up()
    load = mesh.load(seconds=2)
    mesh.wait_orders(100)
    mesh.mark()
    sizes = {name: mesh.log_size(name) for name in SERVICES}
    with Watch(mesh):
        for name in SERVICES:
            answer = fault(name)
            require(answer and "error" not in answer, f"the fault had no effect: {answer}")
        load.finish()
        for name in SERVICES:
            wait_until(lambda: mesh.log_has(name, why, sizes[name]), f"{name}'s log says {why}",
                       AUDIT_S)
    mesh.check()


def fault_14_stream_deleted(mesh):
    """Both streams are deleted under load. The owners log the loss, recreate the streams and
    publish from position 1."""
    strike(mesh, lambda name: mesh.api(f"STREAM.DELETE.{LOG[name]}"), "event=stream_made")


@needs(slow=True)
def fault_14_stream_purged(mesh):
    """Both streams are purged under load. The owners log the loss, and fill the streams again from
    position 1."""
    strike(mesh, lambda name: mesh.api(f"STREAM.PURGE.{LOG[name]}"),
           "event=stream_deleted_to_be_made_anew")


def delete_message(mesh, name, sequence_of):
    sequence = sequence_of(mesh.stream_state(name))
    return mesh.api(f"STREAM.MSG.DELETE.{LOG[name]}", {"seq": sequence, "no_erase": True})


@needs(slow=True)
def fault_14_last_message_deleted(mesh):
    """The last message of each stream is deleted, under load and again without load. The owner
    detects the loss and republishes the message."""
    strike(mesh, lambda name: delete_message(mesh, name, lambda state: state["last_seq"]),
           "event=stream_deleted_to_be_made_anew")
    sizes = {name: mesh.log_size(name) for name in SERVICES}
    for name in SERVICES:
        require("error" not in delete_message(mesh, name, lambda state: state["last_seq"]),
                "the fault had no effect")
    for name in SERVICES:
        wait_until(lambda: mesh.log_has(name, "event=stream_deleted_to_be_made_anew", sizes[name]),
                   f"{name}'s audit finds it", AUDIT_S)
    mesh.check()


@needs(slow=True)
def fault_14_middle_message_deleted(mesh):
    """A message in the middle of each stream is deleted. The audit finds the hole, and the owner
    recreates the stream."""
    strike(mesh, lambda name: delete_message(mesh, name, lambda state: state["last_seq"] // 2),
           "event=stream_deleted_to_be_made_anew")


# ---- Damage on the server's disk -----------------------------------------------------------------

def damage(mesh, change, end):
    """Damages the middle of each stream's file while the server is down: after a crash, when the
    server reads the whole file, or after a graceful stop, when it trusts its own summary and meets
    the damage later or never."""
    mesh.up()
    mesh.load(seconds=1.5).finish()
    mesh.quiet()
    mesh.mark()
    sizes = {name: mesh.log_size(name) for name in SERVICES}
    end("server")
    for name in SERVICES:
        path = mesh.blocks(name)[0]
        with open(path, "r+b") as file:
            middle = os.path.getsize(path) // 2
            file.seek(middle)
            data = file.read(4096)
            file.seek(middle)
            file.write(change(data))
    mesh.start("server")
    mesh.load(seconds=1, seed=2).finish()
    return sizes


def flip(data):
    return data[:100] + bytes([data[100] ^ 16]) + data[101:]


def zero(data):
    return bytes(len(data))


def whole_again(mesh, sizes):
    for name in SERVICES:
        wait_until(lambda: mesh.log_has(name, "event=stream_deleted_to_be_made_anew", sizes[name]),
                   lambda: f"{name} finds the damage; its stream: {mesh.stream_state(name)}",
                   AUDIT_S)
    mesh.check()


@needs(slow=True)
def fault_15_bit_flipped_found_at_start(mesh):
    """One bit in the middle of each stream's file is flipped after a crash of the server, which
    then drops all later messages. The owners republish them."""
    damage(mesh, flip, mesh.kill)
    mesh.check()


@needs(slow=True)
def fault_15_page_zeroed_found_at_start(mesh):
    """A page in the middle of each stream's file is zeroed after a crash of the server, which then
    drops all later messages. The owners republish them."""
    damage(mesh, zero, mesh.kill)
    mesh.check()


@needs(slow=True)
def fault_15_bit_flipped_unnoticed(mesh):
    """One bit in the middle of each stream's file is flipped, and the server does not notice: its
    counts look right, but one message is unreadable. The slow audit reads all messages and finds
    the hole, and the owner recreates the stream."""
    whole_again(mesh, damage(mesh, flip, mesh.stop))


@needs(slow=True)
def fault_15_page_zeroed_unnoticed(mesh):
    """A page in the middle of each stream's file is zeroed, and the server notices only when it
    reads there; the server then drops later messages, and may contradict itself about the stream's
    last sequence. The owners republish the messages, into a new stream if necessary."""
    damage(mesh, zero, mesh.stop)
    mesh.check()


# ---- Durables ------------------------------------------------------------------------------------

def fault_16_durable_deleted(mesh):
    """Both readers' durables are deleted, under load and again without load. The readers recreate
    them at their cursors."""
    def delete():
        for log, reader in READER.items():
            answer = mesh.api(f"CONSUMER.DELETE.{log}.{reader}")
            require(answer and answer.get("success"), f"the fault had no effect: {answer}")
    mesh.up()
    load = mesh.load(seconds=2.5)
    mesh.wait_orders(100)
    delete()
    load.finish()
    mesh.quiet()
    delete()
    mesh.load(seconds=1, seed=2).finish()
    mesh.check()
    for log, reader in READER.items():
        require("error" not in mesh.api(f"CONSUMER.INFO.{log}.{reader}"),
                f"{reader} has no durable on {log}")
