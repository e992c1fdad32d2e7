"""Report: keeps the results of the tests of faults, and writes docs/FAULTS-COVERED.md from them."""
import fcntl
import json
import os

import kit

KEPT = os.path.join(kit.ROOT, "build-faults", "results.json")
KEPT = os.environ.get("JOURNEY_FAULTS_RESULTS") or KEPT
REPORT = os.path.join(kit.ROOT, "docs", "FAULTS-COVERED.md")

CATALOGUE = {
    1: "kill -9 of a service at random instants under load",
    2: "kill between commit and reply",
    3: "kill between commit and publish",
    4: "kill after publish, before its acknowledgement",
    5: "reader killed between commit and ack",
    6: "reader killed inside a batch",
    7: "kill in checkpoint, start-up recovery, migration, restore; twice in a row",
    8: "kill -9 of the server with publishes in flight",
    9: "server restarted after idling past the duplicate window",
    10: "server upgraded on the same store, lame duck",
    11: "server loses the tail of a stream (power cut)",
    12: "old copy of the server's store restored",
    13: "server's store wiped",
    14: "stream deleted, purged, its last message deleted",
    15: "bit flip, zeroed page in the middle of a stream",
    16: "durable consumer deleted",
    17: "durable ahead of its stream",
    18: "stream full, later enlarged",
    19: "account limit of the server",
    20: "server's disk full, then freed",
    21: "server gets EIO",
    22: "service's disk full at every write",
    23: "EIO or a torn write at every write",
    24: "fsync fails at every sync, then kill",
    25: "power cut: unsynced writes dropped",
    26: "malloc fails at every call",
    27: "corrupt page, cut database, lost -wal or -shm",
    28: "database restored from a backup, database lost",
    29: "two instances at once, a paused instance comes back",
    30: "another program holds a snapshot for minutes",
    31: "another program holds the write lock for 30 s",
    32: "partition 1–60 s",
    33: "connection reset, one-way loss",
    34: "loss 5–30 %, 200 ms delay, one byte at a time",
    35: "server paused 5–30 s",
    36: "service paused longer than every timeout",
    37: "connection limit reached, user revoked",
    38: "clock jumps an hour back, ten days ahead",
    39: "ten times the load; a slow consumer",
    40: "repeated, reordered requests; same key with another body",
    41: "poison: bad JSON, wrong schema, gap, foreign subject, 1 MB bomb, CRLF in ids",
    42: "forged reply subject, pull reply, inbox snooping, impersonation",
    43: "payment provider slow, silent, answers twice, dies between charge and answer",
    44: "a second instance with a folder of its own; a copied folder",
    45: "another writer inside of the leader's pipeline",
    46: "the leader's machine lost with its disk, under load",
    47: "a leader frozen with a full pipeline, thawed after the take-over",
    48: "a server of a cluster killed, frozen, cut off, wiped; two of three; all; upgrades",
    49: "an operator edits, seals, transforms, limits a running stream; another's durable on it",
    50: "a durable edited, made beforehand otherwise, limited by the server",
    51: "the server's own messages in a stream, a message larger than max_payload",
    52: "a subscription or publish refused by rights",
    53: "replies and pages larger than a message",
    54: "a provider that is always late, refuses voids, says no softly, answers with too much",
    55: "a backup beside an old WAL; the file moved, replaced, removed under the service",
    56: "server and one service restored to yesterday; both copies of a log lost",
    57: "a flood of queries that wait; a huge parked table, refusals, removed cards, orders",
    58: "the log's reader stands still; the HTTP port taken, slow connections",
}
GUARDS = 99                            # the row of the stories of guards.py

INVARIANTS = {
    1: "every accepted request exists exactly once, in the tables and in the log",
    2: "a refused request never has an effect",
    3: "an unanswered request has at most one effect, and every retry of its key the same answer",
    4: "positions are 1 to N, append-only, the chain verifies, and an earlier copy of the log is a "
       "prefix of every later one",
    5: "the tables are the fold of the log",
    6: "the stream without repeats is a prefix of the log at all times, and equal to it once the "
       "mesh has settled",
    7: "the stream has no event that the log has not committed",
    8: "a projection is the fold of the leader's log up to the cursor, which never goes back",
    9: "stock adds up, and each reservation and each charge ends exactly once",
    10: "a client's reads never go back, and a client reads its own writes if it asks for them",
    11: "no event takes effect twice",
    12: "the mesh settles after the last fault: outboxes empty, lags 0, all processes run",
    13: "memory, descriptors, threads and WAL return to their base line",
    14: "no reply leaves before a new connection can see its commit",
    15: "a stream has only its leader's subjects, source and chain",
    16: "no log has a secret, personal data or a raw control character",
}

HEAD = """# Faults covered

`scripts/faults --report` writes this file from the results of the last run of each test
(`scripts/faults`). Each test runs its own mesh under a load of real journeys, injects the fault,
heals it, waits until the mesh has settled, and compares everything from outside with
`scripts/check`. A row's text says what must hold beyond that; (I3) names an invariant, listed at
the end.

"""


GUARDS_HEAD = """
## The test of the checks

Each story provokes the fault that one guard of the services (`common/base/guard.h`) prevents. A
story runs twice, with the programs of `tests/mesh/breakable`: with all guards `scripts/check` must
pass; without that guard `scripts/check` must fail. `scripts/faults --guards` runs the stories. The
simulation does the same with the same guards: `scripts/simulate --check-the-checks`.

| missing guard | what happens then | checks of `scripts/check` that fail | s |
|---|---|---|--:|
"""


def read():
    try:
        with open(KEPT, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def keep(result):
    """Stores the last result of each test."""
    os.makedirs(os.path.dirname(KEPT), exist_ok=True)
    with open(KEPT + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = read()
        kept[result["name"]] = {
            key: result[key] for key in ("name", "row", "result", "seconds", "said", "full")
        }
        with open(KEPT + ".new", "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
        os.replace(KEPT + ".new", KEPT)


def line_of(test, kept):
    """The line of one test: what it does, its name, its result."""
    result = kept.get(test.name)
    if result is None:
        return f"| {test.does}. | `{test.name}` | not run | |"
    said = next((line for line in result["said"].splitlines() if line.startswith("figure: ")), "")
    outcome = result["result"]
    if outcome == "skipped" and result["said"]:
        outcome += f": {result['said'].splitlines()[0]}"
    more = f" ({said.removeprefix('figure: ')})" if said and result["result"] == "passed" else ""
    return f"| {test.does}.{more} | `{test.name}` | {outcome} | {result['seconds']:.0f} |"


def guard_line(test, kept):
    result = kept.get(test.name, {"result": "not run", "said": "", "seconds": 0})
    said = next((line for line in result["said"].splitlines() if line.startswith("figure: ")), "")
    passed = result["result"] == "passed"
    noticed = said.removeprefix("figure: ") if passed else f"**{result['result']}**"
    name = test.name.removeprefix("guard_")
    return f"| `{name}` | {test.does}. | {noticed} | {result['seconds']:.0f} |"


def write(tests):
    """Writes the table, by the rows of the catalogue."""
    kept, parts, counts = read(), [], {"passed": 0, "failed": 0, "skipped": 0, "not run": 0}
    proofs = [test for test in tests if test.row == GUARDS]
    tests = [test for test in tests if test.row != GUARDS]
    for test in tests:
        counts[kept.get(test.name, {"result": "not run"})["result"]] += 1
    covered = {test.row for test in tests if kept.get(test.name, {}).get("result") == "passed"}
    parts.append(f"{len(covered)} of {len(CATALOGUE)} rows; {len(tests)} tests: "
                 + ", ".join(f"{count} {name}" for name, count in counts.items()
                             if count or name in ("passed", "failed")) + ".\n")
    for row, title in CATALOGUE.items():
        own = [test for test in tests if test.row == row]
        parts.append(f"\n## {row}. {title[0].upper() + title[1:]}\n")
        if not own:
            parts.append("\nNot covered: no test yet.\n")
            continue
        parts.append("\n| what is done, and what holds | test | result | s |\n|---|---|---|--:|\n")
        parts += [line_of(test, kept) + "\n" for test in own]
    parts.append(GUARDS_HEAD)
    parts += [guard_line(test, kept) + "\n" for test in proofs]
    parts.append("\n## The invariants\n\n| | |\n|---|---|\n")
    parts += [f"| I{number} | {text} |\n" for number, text in INVARIANTS.items()]
    with open(REPORT, "w", encoding="utf-8") as file:
        file.write(HEAD + "".join(parts))
    print(f"{REPORT}: {len(covered)} of {len(CATALOGUE)} rows")
    return 0
