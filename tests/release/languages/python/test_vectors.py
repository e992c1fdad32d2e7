#!/usr/bin/env python3
"""test_vectors.py FOLDER [SAMPLES] - hold events.py to the test vectors in FOLDER (schemas/vectors)

With SAMPLES, a stream as `published read` writes it (tests/fixtures/golden), its chain, too.
"""
import json
import pathlib
import sys

from events import (BEGINNING, Cursor, Leader, Stranger, canonical, chain_after, decode, fit,
                    moved)

passed = failed = 0


def expect(what, found, wanted):
    global passed, failed
    passed, failed = passed + (found == wanted), failed + (found != wanted)
    if found != wanted:
        print(f"failed: {what}: {found!r} instead of {wanted!r}")


def read(folder, name):
    return json.loads((pathlib.Path(folder) / f"{name}.json").read_text(encoding="utf-8"))


def decoded(leader, message):
    return decode(leader, message["subject"], message["headers"], message["data"])


def header_of_refusal(leader, message):
    try:
        return f"none: {decoded(leader, message)}"
    except Stranger as stranger:
        return str(stranger)


def main():
    for row in read(sys.argv[1], "canonical")["vectors"]:
        expect(row["what"], canonical(row["event"]).hex(), row["canonical"])
        expect(row["what"], chain_after(row["previous_chain"], row["event"]), row["chain"])
    headers = read(sys.argv[1], "headers")
    leader = Leader(**headers["leader"])
    for row in headers["read"]:
        event = decoded(leader, row["message"])
        expect(row["what"], {key: event.get(key) for key in row["event"]}, row["event"])
        expect(row["what"], event["term"], row["term"])
    for row in headers["refused"]:
        expect(row["what"], header_of_refusal(leader, row["message"]), row["header"].lower())
    for scenario in read(sys.argv[1], "reader")["scenarios"]:
        cursor = Cursor(**scenario["cursor"])
        for step in scenario["steps"]:
            event = decoded(leader, step["message"])
            what = fit(cursor, event)
            cursor = moved(cursor, event) if what == "applied" else cursor
            expect(scenario["what"], (what, cursor), (step["outcome"], Cursor(**step["cursor"])))
    cursor = BEGINNING
    for path in sys.argv[2:]:
        for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
            event = decoded(leader, json.loads(line))
            expect(f"{path} {event['position']}", fit(cursor, event), "applied")
            cursor = moved(cursor, event)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
