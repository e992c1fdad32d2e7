#!/usr/bin/env python3
"""Compares two versions of the contracts, and refuses what breaks somebody who was written against the old.

Who is broken depends on the direction of a message:
  request          is read by us: we must still accept all that callers may send by the old contract
  event, reply     are written by us and read by others with the old contract, whose decoder checks every
                   bound; and they come from events of any age, which must still fit the new one. So what
                   is there stays as it is
  asked (psp.…)    is written by us, for orders of any age; its reply is read by us

                                          request   event, reply   asked   its reply
  a new message                             yes          yes        yes       yes
  a new optional field                      yes         yes 1      yes 1      yes
  a bound, enum or pattern loosened         yes          no          no       yes
  a bound, enum or pattern tightened        no           no          no       no
  a needed field made optional              yes          no          no       yes
  an optional field made needed             no           no          no       no
  a field or message removed or renamed     no           no          no       no
  another type, a new needed field          no           no          no       no

  1 where the object is open (no "additionalProperties": false), as events and replies are, but not the
    closed pieces in them, such as an address
An added value of an enum is a loosened enum: our readers refuse a value that they do not know, so in an
event it is a break. Whoever wants a list that grows writes a text without an enum. One list is open: the
codes of refusals, because a caller that does not know one goes by its status.
Titles, descriptions and examples may change; but the old examples must still fit the new contract where
we read, and the new ones the old contract where others read.
"""
import argparse
import json
import pathlib
import re
import sys

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "deprecated"}
LOWER = {"minLength", "minItems", "minProperties", "minimum"}        # tightened when they grow or appear
UPPER = {"maxLength", "maxItems", "maxProperties", "maximum"}        # tightened when they shrink or appear
KEYWORDS = LOWER | UPPER | {"type", "properties", "required", "additionalProperties", "items", "enum", "pattern"}
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}
COUNTED = {"str": "Length", "list": "Items", "dict": "Properties", "int": "imum", "float": "imum"}
ASKED = "psp."                        # what the services ask of others
OPEN_LISTS = {("error", "error.code")}    # more may come: who does not know a code goes by its status

TIGHTER = "tightened: what was allowed is refused now"
LOOSER = "loosened: readers with the old contract refuse it"


class Unreadable(Exception):
    """A folder is no contract."""


class Folder:
    """The schema files of one version, by name, with each $ref replaced by what it means."""

    def __init__(self, path):
        self.files = {}
        for file in sorted(path.glob("*.json")):
            try:
                self.files[file.name.removesuffix(".json")] = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise Unreadable(f"{file}: {error}") from None
        self.messages = {name: self.plain(schema, name, name) for name, schema in self.files.items() if "type" in schema}
        if not self.messages:
            raise Unreadable(f"{path} holds no message")

    def plain(self, schema, name, place):
        if "$ref" in schema:
            if set(schema) - {"$ref"} - ANNOTATIONS:
                raise Unreadable(f"{place}: there is something beside $ref")
            file, _, piece = schema["$ref"].partition("#/$defs/")
            file = file.removesuffix(".json") or name
            target = self.files.get(file, {}).get("$defs", {}).get(piece)
            if target is None:
                raise Unreadable(f"{place}: {schema['$ref']} leads nowhere")
            return self.plain(target, file, f"{file}#{piece}")
        for keyword in set(schema) - KEYWORDS - ANNOTATIONS:
            raise Unreadable(f"{place}: the keyword {keyword} is not known here")
        out = {key: value for key, value in schema.items() if key in KEYWORDS or key == "examples"}
        if "properties" in out:
            out["properties"] = {key: self.plain(child, name, f"{place}.{key}") for key, child in out["properties"].items()}
        if "items" in out:
            out["items"] = self.plain(out["items"], name, f"{place}[]")
        return out


class Comparison:
    """The changes, each with the reason why it is refused, or None."""

    def __init__(self):
        self.changes = []
        self.name = self.reads = self.others_read = None

    def note(self, place, what, why=None):
        self.changes.append((f"{self.name}{': ' + place if place else ''}", what, why))

    def tightened(self, place, what):
        self.note(place, what, TIGHTER if self.reads else None)

    def loosened(self, place, what):
        self.note(place, what, LOOSER if self.others_read else None)

    def folders(self, old, new):
        added = [name for name in new.messages if name not in old.messages]
        for name, schema in old.messages.items():
            self.name = name
            is_reply = name.endswith(".reply") or name == "error"
            if name.startswith(ASKED):
                self.reads, self.others_read = True, not is_reply
            else:
                self.reads, self.others_read = True, is_reply or name.startswith("evt.")
            if name in new.messages:
                self.schemas(schema, new.messages[name], "")
                self.examples(schema, new.messages[name])
            else:
                twin = next((other for other in added if same(new.messages[other], schema)), None)
                self.note("", "the message is gone" + (f"; is it renamed to {twin}?" if twin else ""), "removed")
        for name in added:
            self.name = name
            self.note("", "a new message")

    def schemas(self, old, new, place):
        if old.get("type") != new.get("type"):
            self.note(place, f"its type is {new.get('type')}, was {old.get('type')}", "retyped")
            return
        self.bounds(old, new, place)
        self.values(old, new, place)
        self.fields(old, new, place)
        if "items" in old and "items" in new:
            self.schemas(old["items"], new["items"], place + "[]")
        elif "items" in old or "items" in new:
            self.note(place, "what its items are", "retyped")

    def bounds(self, old, new, place):
        for keyword in sorted(LOWER | UPPER):
            before, after = old.get(keyword), new.get(keyword)
            if before == after:
                continue
            what = f"{keyword} is {'gone' if after is None else after}, was {'none' if before is None else before}"
            if before is None or (after is not None and (after > before) == (keyword in LOWER)):
                self.tightened(place, what)
            else:
                self.loosened(place, what)

    def values(self, old, new, place):
        if "enum" in old and "enum" in new:
            gone = [value for value in old["enum"] if value not in new["enum"]]
            more = [value for value in new["enum"] if value not in old["enum"]]
            if gone:
                self.tightened(place, f"the values {', '.join(gone)} are gone")
            if more and (self.name, place) in OPEN_LISTS:
                self.note(place, f"the values {', '.join(more)} are new")
            elif more:
                self.loosened(place, f"the values {', '.join(more)} are new")
        for keyword in ("enum", "pattern"):
            if keyword in new and keyword not in old:
                self.tightened(place, f"{keyword} is new")
            elif keyword in old and keyword not in new:
                self.loosened(place, f"{keyword} is gone")
        if "pattern" in old and "pattern" in new and old["pattern"] != new["pattern"]:
            self.note(place, f"its pattern is {new['pattern']}, was {old['pattern']}", "nobody can say what that allows")

    def fields(self, old, new, place):
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", [])), set(new.get("required", []))
        closed_before, closed_after = (schema.get("additionalProperties", True) is False for schema in (old, new))
        if closed_after and not closed_before:
            self.tightened(place, "the object is closed")
        elif closed_before and not closed_after:
            self.loosened(place, "the object is open")
        added = [name for name in after if name not in before]
        for name, child in before.items():
            here = f"{place}.{name}" if place else name
            if name not in after:
                twin = next((other for other in added if same(after[other], child)), None)
                self.note(here, "the field is gone" + (f"; is it renamed to {twin}?" if twin else ""), "removed")
                continue
            if name in needed_after - needed_before:
                self.tightened(here, "the field is needed")
            elif name in needed_before - needed_after:
                self.loosened(here, "the field may be absent")
            self.schemas(child, after[name], here)
        for name in added:
            here = f"{place}.{name}" if place else name
            if name in needed_after:
                self.note(here, "a new field that is needed", "older messages do not have it")
            elif closed_before and self.others_read:
                self.note(here, "a new field", "the object is closed: readers with the old contract refuse it")
            else:
                self.note(here, "a new optional field")

    def examples(self, old, new):
        for reader, writer, whose in ((new, old, "old"),) * self.reads + ((old, new, "new"),) * self.others_read:
            for i, example in enumerate(writer.get("examples", [])):
                why = misfit(reader, example, "")
                if why:
                    other = "new" if whose == "old" else "old"
                    self.note("", f"its {whose} example {i + 1} does not fit the {other} contract", why)


def same(a, b):
    return {**a, "examples": None} == {**b, "examples": None}


def misfit(schema, value, place):
    """Why a value does not fit a schema; None when it does."""
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else kind or list(TYPES)
    if not any(isinstance(value, TYPES[k]) and (isinstance(value, bool) <= (k == "boolean")) for k in kinds):
        return f"{place or 'it'} is not of the type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{place} is none of the values"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value, re.A):
        return f"{place} does not match the pattern"
    size = value if isinstance(value, (int, float)) else len(value) if value is not None else 0
    for keyword in LOWER | UPPER:
        applies = COUNTED.get(type(value).__name__)
        if applies and keyword in schema and keyword.endswith(applies):
            if size < schema[keyword] if keyword in LOWER else size > schema[keyword]:
                return f"{place or 'it'} is beyond {keyword}"
    if isinstance(value, list):
        items = schema.get("items", {})
        return next((why for i, item in enumerate(value) if (why := misfit(items, item, f"{place}[{i}]"))), None)
    if not isinstance(value, dict):
        return None
    fields = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            return f"{place}.{name} is missing".lstrip(".")
    for name, child in value.items():
        if name not in fields and schema.get("additionalProperties", True) is False:
            return f"{place}.{name} is not known".lstrip(".")
        why = misfit(fields.get(name, {}), child, f"{place}.{name}".lstrip("."))
        if why:
            return why
    return None


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes: 0 compatible, or OLD is not there; 1 not compatible, or not readable; 2 usage")
    parser.add_argument("old", type=pathlib.Path, metavar="OLD", help="the folder of the released contract")
    parser.add_argument("new", type=pathlib.Path, metavar="NEW", help="the folder of the contract as it is to be")
    options = parser.parse_args(arguments)
    if not options.old.exists():
        print(f"compat: there is no {options.old} yet: no contract has been released, nothing can break")
        return 0
    comparison = Comparison()
    try:
        comparison.folders(Folder(options.old), Folder(options.new))
    except (Unreadable, OSError) as error:
        print(f"compat: {error}", file=sys.stderr)
        return 1
    refused = [change for change in comparison.changes if change[2]]
    for place, what, why in comparison.changes:
        print(f"REFUSED  {place}: {what} ({why})" if why else f"allowed  {place}: {what}")
    print(f"compat: {len(comparison.changes)} changes, {len(refused)} of them break the released contract")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
