"""Disk: a service on a disk that fails on command, and a power cut (tests/mesh/breakable).

    mesh.be_breakable()                      # before up(): the breakable programs
    disk = Disk(mesh, "order-svc")           # before up(), too
    disk.plan("wal-write torn 3")            # see tests/mesh/breakable/faulty_disk.h
    disk.struck()                            # how many calls have failed since the plan
    disk.plan("")

    disk = Disk(mesh, "order-svc", power=True)
    mesh.kill("order-svc"); disk.cut_power(seed=1); mesh.start("order-svc")

    python3 disk.py DATABASE FOLDER SEED     cuts the power of a killed service
"""
import os
import random
import struct
import sys

from basics import require

RECORD = struct.Struct("=IBBHqqqq")    # tests/mesh/breakable/undo.h
MAGIC, SECTOR = 0x6f646e75, 512
WRITE, TRUNCATE, SYNC, SYNC_FAILED, DELETE = 1, 2, 3, 4, 5


class Change:
    """A write or a truncation that was noted before it was made."""

    def __init__(self, kind, path, offset, length, old_size, old):
        self.kind, self.path, self.offset, self.length = kind, path, offset, length
        self.old_size, self.old = old_size, old
        # is_safe: a sync has covered the change; is_lost: no sync ever will
        self.new, self.is_safe, self.is_lost = b"", False, False

    def take_back(self):
        with open(self.path, "r+b") as file:
            file.seek(self.offset)
            self.new = file.read(self.length)
            file.truncate(self.old_size)
            file.seek(self.offset)
            file.write(self.old)

    def make_again(self, keeps):
        with open(self.path, "r+b") as file:
            if self.kind == TRUNCATE:
                if keeps():
                    file.truncate(self.offset)
                return
            for at in range(0, len(self.new), SECTOR):
                if keeps():
                    file.seek(self.offset + at)
                    file.write(self.new[at:at + SECTOR])


class Disk:
    def __init__(self, mesh, name, power=False):
        self.database = mesh.database_path(name)
        self.folder = os.path.join(mesh.folder, f"disk-{name}")
        os.makedirs(self.folder, exist_ok=True)
        self.plan("")
        mesh.env[name]["JOURNEY_DISK"] = self.folder
        if power:
            mesh.env[name]["JOURNEY_DISK_POWER"] = "1"

    # ---- Calls that fail

    def path(self, name):
        return os.path.join(self.folder, name)

    def plan(self, text):
        """Sets the plan from now on; the same text twice is one plan, whose count goes on."""
        self.before = len(self.lines())                # before the plan can strike
        with open(self.path("plan"), "w", encoding="utf-8") as file:
            file.write(text)

    def lines(self):
        try:
            with open(self.path("struck"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def struck(self):
        return len(self.lines()) - self.before

    def cut_power(self, seed=None):
        return cut_power(self.database, self.folder, seed)


# ---- A power cut ---------------------------------------------------------------------------------

def read_changes(database, folder):
    """The noted changes in order, and whether a later sync has made each safe."""
    with open(os.path.join(folder, "undo"), "rb") as file:
        data = file.read()
    found, at = [], 0
    while at + RECORD.size <= len(data):
        magic, kind, number, _, offset, length, old_size, old_length = RECORD.unpack_from(data, at)
        require(magic == MAGIC, f"the notes of the disk cannot be read at {at}")
        at += RECORD.size
        if at + old_length > len(data):
            break                          # killed during the note, so the change was not made
        old, path = data[at:at + old_length], database + ("-wal" if number else "")
        at += old_length
        if kind in (WRITE, TRUNCATE):
            found.append(Change(kind, path, offset, length, old_size, old))
        elif kind == DELETE:
            found = [change for change in found if change.path != path]
        for change in found:
            if kind == SYNC_FAILED:
                change.is_lost |= change.path == path and not change.is_safe
            elif kind == SYNC:
                change.is_safe |= change.path == path and not change.is_lost
    return [change for change in found if os.path.exists(change.path)]


def cut_power(database, folder, seed=None):
    """For a killed service: keeps or drops each sector of 512 bytes that no sync had covered, as
    the seed decides; drops all of them without a seed. Returns the number of changes in danger."""
    changes, draw = read_changes(database, folder), random.Random(seed)
    for change in reversed(changes):
        change.take_back()
    for change in changes:
        if change.is_safe:
            change.make_again(lambda: True)
        elif seed is not None:
            change.make_again(lambda: draw.random() < 0.5)
    with open(os.path.join(folder, "undo"), "wb"):
        pass                               # the present content is on the disk
    if os.path.exists(database + "-shm"):
        os.unlink(database + "-shm")       # SQLite rebuilds it
    return sum(not change.is_safe for change in changes)


if __name__ == "__main__":
    cut_power(sys.argv[1], sys.argv[2], int(sys.argv[3]))
