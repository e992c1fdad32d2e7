"""Copies: the copies of a service's log must be alike: its stream, and the logs and tables of the
instances that follow. Nothing here uses the services' own code."""
import collections
import os
import sqlite3
import time
import urllib.parse

from journey.patience import far

CAUGHT_UP_S = 10
# Tables that are not folded from the logs: the leader alone writes them, or they are notes of its
# process that may be lost.
NOT_FOLDED = {"event_log", "meta", "kept_streams", "kept_durables", "refusals", "card_choices",
              "void_mark"}
POSITIONS = "SELECT log, position, hex(chain) FROM cursors ORDER BY log"
HEAD = "SELECT position, hex(chain) FROM event_log ORDER BY position DESC LIMIT 1"


def check(table, mesh, logs, streams):
    check_logs(table, logs)
    check_streams(table, mesh, logs, streams)
    for log in logs:
        check_terms(table, log, streams[log], mesh.voids[log], logs[log][0])
        if mesh.instances > 1:
            check_instances(table, mesh, log)


# ---- Log and stream ------------------------------------------------------------------------------

def check_logs(table, logs):
    for log, (events, chains) in logs.items():
        table.check(f"{log}: log positions are 1 to N, and the chain is right", len(events),
                    [f"{log} {event.position}"
                     for i, (event, chain) in enumerate(zip(events, chains))
                     if event.position != i + 1 or event.chain != chain])
        causes = collections.Counter((event.cause, event.type) for event in events if event.cause)
        table.check(f"{log}: no request and no event took effect twice", len(causes),
                    [f"{cause}: {kind} {count} times"
                     for (cause, kind), count in causes.items() if count > 1])


def check_streams(table, mesh, logs, streams):
    for log, (events, _) in logs.items():
        wrong, stored = [], streams[log]
        for i in range(max(len(events), len(stored))):
            if i >= len(stored) or i >= len(events):
                place = "log" if i < len(events) else "stream"
                wrong.append(f"{log} {i + 1}: only in the {place}")
                continue
            sequence, subject, event = stored[i]
            differs = event.same_as(events[i])
            if differs:
                wrong.append(f"{log} {i + 1}: log and stream differ in {', '.join(differs)}")
            elif sequence != event.position + sum(at < sequence for at, _ in mesh.voids[log]):
                wrong.append(f"{log} {event.position}: sequence {sequence} of the stream")
            elif subject != f"evt.{mesh.prefix[log]}.{event.type}":
                wrong.append(f"{log} {event.position}: subject {subject}")
        table.check(f"{log}: the stream is the log, without a gap", len(stored), wrong)


def check_terms(table, log, stored, voids, events):
    """I17: at each position one term leads, its events say so, and nobody has a void message's id
    in the log."""
    term, wrong, began = 0, [], {}
    for _, _, event in stored:
        if event.type == "TermBegan":
            if event.value["term"] <= term:
                wrong.append(f"{log} {event.position}: term {event.value['term']} after {term}")
            term = event.value["term"]
            began[term] = event.value["instance"]
        if 0 < event.term != term:             # 0: of a version without terms
            wrong.append(f"{log} {event.position}: says term {event.term}, which is {term}")
    table.check(f"{log}: one term leads at each position, {len(voids)} void messages",
                len(began), wrong)
    in_log = {event.id for event in events} - {event.id for _, _, event in stored}
    table.check(f"{log}: no void message is in the log", len(voids),
                [f"{log}: sequence {sequence}, {name}" for sequence, name in voids
                 if name in in_log])


# ---- The instances -------------------------------------------------------------------------------

def open_read_only(path):
    return sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True, timeout=far(10))


def place_of(path):
    """Where a file stands: the head of its log, and its cursors."""
    database = open_read_only(path)
    try:
        return database.execute(HEAD).fetchone(), database.execute(POSITIONS).fetchall()
    except sqlite3.Error as error:
        return str(error)
    finally:
        database.close()


def rows_of(path):
    """{table: its rows, sorted} of all tables that are folded from logs."""
    database, found = open_read_only(path), {}
    database.text_factory = bytes
    try:
        names = [row[0].decode() for row in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")]
        for name in sorted(set(names) - NOT_FOLDED):
            columns = [f"quote({row[1].decode()})"
                       for row in database.execute(f"PRAGMA table_info({name})")]
            found[name] = sorted(database.execute(f"SELECT {', '.join(columns)} FROM {name}"))
    finally:
        database.close()
    return found


def differences(service, process, mine, leaders):
    for name in sorted(mine.keys() | leaders.keys()):
        here, there = set(mine.get(name, ())), set(leaders.get(name, ()))
        if here != there or len(mine.get(name, ())) != len(leaders.get(name, ())):
            only = sorted(here - there)[:1] + sorted(there - here)[:1]
            yield (f"{process}: table {name} has {len(here - there)} rows that the leading "
                   f"{service} has not, and lacks {len(there - here)}: {only}")


def check_instances(table, mesh, log):
    """Every instance that runs has the leader's log, cursors and tables. The mesh is at rest: a
    standby is a heartbeat behind."""
    service, serving = mesh.service[log], mesh.database_path(log)
    count, wrong = 0, []
    for process in mesh.processes(log):
        path = os.path.join(mesh.folder, process, service + ".db")
        if path == serving or not mesh.runs(process):
            continue
        count += 1
        end = time.monotonic() + far(CAUGHT_UP_S)
        while (at := place_of(path)) != (want := place_of(serving)) and time.monotonic() < end:
            time.sleep(0.1)
        if at != want:
            wrong.append(f"{process} is at {at}, the leader at {want}")
        else:
            wrong += differences(service, process, rows_of(path), rows_of(serving))
    table.check(f"{log}: each standby has the leader's log and tables", count, wrong)
