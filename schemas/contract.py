"""Contract: what a service prints with --print-contract, read for journey-asyncapi and
journey-compat. common/runtime/repair/contract.h describes its form."""
import json
import pathlib
import sys

FORM = 1
LISTS = ("requests", "events", "sources", "calls", "refusals", "options")


class Refused(Exception):
    """It is no contract, or one that says two things."""


def read(place):
    """The text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if place == "-" else pathlib.Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise Refused(f"{place}: {getattr(error, 'strerror', error)}") from None


class Contract:
    """The printed object; a message is known by the name of its schema."""

    def __init__(self, place, text=None):
        self.place = place
        try:
            data = json.loads(read(place) if text is None else text)
        except ValueError as error:
            raise Refused(f"{place}: {error}") from None
        if not isinstance(data, dict) or "contract" not in data:
            raise Refused(f"{place} is not what a service prints with --print-contract")
        if data["contract"] != FORM:
            raise Refused(f"{place} has the form {data['contract']} of a contract, "
                          f"and only {FORM} is known here")
        try:
            self.take(data)
        except (KeyError, TypeError) as error:
            raise Refused(f"{place}: {error} is missing") from None

    def take(self, data):
        self.data = data
        self.name, self.version, self.log = data["name"], data["version"], data["log"]
        self.prefix, self.description = data["prefix"], data["description"]
        self.requests, self.events, self.sources, self.calls, self.refusals, self.options = (
            data[key] for key in LISTS)
        self.refusal, self.schemas = data["refusal"], data["schemas"]
        for row in self.requests:
            wanted = row["subject"]
            if row["kind"] == "runtime":
                wanted = "runtime." + wanted.removeprefix(self.prefix + ".").split(".")[0]
            self.expect(row["subject"], row["request"], wanted)
            self.expect(row["subject"], row["reply"], wanted + ".reply")
        for row in self.events + self.read_events():
            wanted = row["subject"]
            if row.get("of") == "runtime":  # every service has it, under its own prefix
                wanted = "evt.runtime." + wanted.split(".", 2)[2]
            self.expect(row["subject"], row["schema"], wanted)
        for row in self.calls:
            self.expect(row["subject"], row["request"], row["subject"])
            self.expect(row["subject"], row["reply"], row["subject"] + ".reply")
        self.schema(self.refusal)

    def expect(self, subject, name, wanted):
        """That the table has given a subject the schema of its own name."""
        self.schema(name)
        if name != wanted:
            raise Refused(f"{self.place}: {subject} has the schema of {name}, not of {wanted}")

    def schema(self, name):
        if name not in self.schemas:
            raise Refused(f"{self.place}: the schema {name} is missing")
        return self.schemas[name]

    def read_events(self):
        """The rows of all events of others, each with its source."""
        return [dict(row, source=source) for source in self.sources for row in source["events"]]
