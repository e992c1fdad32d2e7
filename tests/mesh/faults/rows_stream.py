"""Rows of the streams: deleted, purged, damaged on the server's disk; a durable that is gone."""
import os

from kit import LOG, READER, SERVICES, needs, require, wait_until
from reads import Watch

AUDIT_S = 15                           # the relay's audit comes every 10 s


def strike(mesh, fault, why):
    """Under load: a fault of each stream, after which the owner must say that it makes the stream anew, and do it."""
    mesh.up()
    load = mesh.load(seconds=2)
    mesh.wait_orders(100)
    mesh.mark()
    sizes = {name: mesh.log_size(name) for name in SERVICES}
    with Watch(mesh):
        for name in SERVICES:
            answer = fault(name)
            require(answer and "error" not in answer, f"the fault did not strike: {answer}")
        load.finish()
        for name in SERVICES:
            wait_until(lambda: mesh.log_has(name, why, sizes[name]), f"{name}'s log says {why}", AUDIT_S)
    mesh.check()


def fault_14_stream_deleted(mesh):
    """Both streams are deleted under load. The owners say so, make them anew and publish from 1."""
    strike(mesh, lambda name: mesh.api(f"STREAM.DELETE.{LOG[name]}"), "event=stream_made")


@needs(slow=True)
def fault_14_stream_purged(mesh):
    """Both streams are purged under load. The owners say so, and fill them again from 1."""
    strike(mesh, lambda name: mesh.api(f"STREAM.PURGE.{LOG[name]}"), "event=stream_deleted_to_be_made_anew")


def delete_message(mesh, name, sequence_of):
    sequence = sequence_of(mesh.stream_state(name))
    return mesh.api(f"STREAM.MSG.DELETE.{LOG[name]}", {"seq": sequence, "no_erase": True})


@needs(slow=True)
def fault_14_last_message_deleted(mesh):
    """The last message of each stream is deleted, under load and again in quiet. It is found and published again."""
    strike(mesh, lambda name: delete_message(mesh, name, lambda state: state["last_seq"]), "event=stream_deleted_to_be_made_anew")
    sizes = {name: mesh.log_size(name) for name in SERVICES}
    for name in SERVICES:
        require("error" not in delete_message(mesh, name, lambda state: state["last_seq"]), "the fault did not strike")
    for name in SERVICES:
        wait_until(lambda: mesh.log_has(name, "event=stream_deleted_to_be_made_anew", sizes[name]), f"{name}'s audit finds it", AUDIT_S)
    mesh.check()


@needs(slow=True)
def fault_14_middle_message_deleted(mesh):
    """A message in the middle of each stream is deleted. The audit finds the hole and the stream is made anew."""
    strike(mesh, lambda name: delete_message(mesh, name, lambda state: state["last_seq"] // 2), "event=stream_deleted_to_be_made_anew")


# ---- Damage on the server's disk ------------------------------------------------------------------------

def damage(mesh, change, end):
    """Each stream's file is damaged in its middle while the server is down: after a crash, when it reads the whole file, or after
    a stop in peace, when it believes its own summary and meets the damage later or never."""
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
                   lambda: f"{name} finds the damage; its stream: {mesh.stream_state(name)}", AUDIT_S)
    mesh.check()


@needs(slow=True)
def fault_15_bit_flipped_found_at_start(mesh):
    """One bit in the middle of each stream's file is flipped after a crash of the server, which then drops all that follows. The
    owners publish it again."""
    damage(mesh, flip, mesh.kill)
    mesh.check()


@needs(slow=True)
def fault_15_page_zeroed_found_at_start(mesh):
    """A page in the middle of each stream's file is zeroed after a crash of the server, which then drops all that follows."""
    damage(mesh, zero, mesh.kill)
    mesh.check()


@needs(slow=True)
def fault_15_bit_flipped_unnoticed(mesh):
    """One bit in the middle of each stream's file is flipped, and the server does not notice: its counts look right, one message
    cannot be read. The slow audit reads all messages, finds the hole, and the stream is made anew."""
    whole_again(mesh, damage(mesh, flip, mesh.stop))


@needs(slow=True)
def fault_15_page_zeroed_unnoticed(mesh):
    """A page in the middle of each stream's file is zeroed, and the server notices only when it reads there; then it drops what
    follows, and may be of two minds about the stream's last sequence. The owners publish it again, into a new stream if need be."""
    damage(mesh, zero, mesh.stop)
    mesh.check()


# ---- Durables -------------------------------------------------------------------------------------------

def fault_16_durable_deleted(mesh):
    """Both readers' durables are deleted, under load and again in quiet. The readers make them anew at their cursors."""
    def delete():
        for log, reader in READER.items():
            answer = mesh.api(f"CONSUMER.DELETE.{log}.{reader}")
            require(answer and answer.get("success"), f"the fault did not strike: {answer}")
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
        require("error" not in mesh.api(f"CONSUMER.INFO.{log}.{reader}"), f"{reader} has no durable on {log}")
