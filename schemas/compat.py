"""Compat: compares two versions of a service's contract, for journey-compat, which says what breaks
whom."""
import re

import pattern

from contract import Refused

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples",
               "deprecated", "x-account", "x-printable"}
# Tightened when they grow or appear; tightened when they shrink or appear.
LOWER = {"minLength", "minItems", "minProperties", "minimum"}
UPPER = {"maxLength", "maxItems", "maxProperties", "maximum"}
KEYWORDS = LOWER | UPPER | {"type", "properties", "required", "additionalProperties", "items",
                            "enum", "pattern"}
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "integer": int,
         "number": (int, float), "null": type(None)}
COUNTED = {"str": "Length", "list": "Items", "dict": "Properties", "int": "imum", "float": "imum"}

TIGHTER = "tightened: what was allowed is refused now"
LOOSER = "loosened: readers with the old contract refuse it"
REMOVED = "removed"


def plain(schema, place, defs=None):
    """The schema with each $ref replaced by what it means, and with the keywords that count."""
    defs = schema.get("$defs", {}) if defs is None else defs
    if "$ref" in schema:
        if set(schema) - {"$ref"} - ANNOTATIONS:
            raise Refused(f"{place}: there is something beside $ref")
        target = defs.get(schema["$ref"].rpartition("#/$defs/")[2])
        if target is None:
            raise Refused(f"{place}: {schema['$ref']} leads nowhere")
        return plain(target, place, defs)
    for keyword in set(schema) - KEYWORDS - ANNOTATIONS:
        raise Refused(f"{place}: the keyword {keyword} is not known here")
    out = {key: value for key, value in schema.items() if key in KEYWORDS or key == "examples"}
    if "pattern" in out:
        out["pattern"] = pattern.written_out(out["pattern"])
    if "properties" in out:
        out["properties"] = {key: plain(child, f"{place}.{key}", defs)
                             for key, child in out["properties"].items()}
    if "items" in out:
        out["items"] = plain(out["items"], f"{place}[]", defs)
    return out


def roles_of(contract):
    """Of each message: (we read it, others read it, others rely on its being there)."""
    roles = {}

    def add(name, *role):
        have = roles.get(name, (False, False, False))
        roles[name] = tuple(a or b for a, b in zip(have, role))
    for row in contract.requests:
        add(row["request"], True, False, True)
        add(row["reply"], True, True, True)
    for row in contract.events:
        add(row["schema"], True, True, True)
    for row in contract.read_events():
        add(row["schema"], True, False, False)
    for row in contract.calls:
        add(row["request"], True, True, False)
        add(row["reply"], True, False, False)
    add(contract.refusal, True, True, True)
    return roles


def same(a, b):
    return {**a, "examples": None} == {**b, "examples": None}


class Comparison:
    """The changes, each with the reason why it is refused, or None."""

    def __init__(self, old, new):
        self.changes = []
        self.name = self.reads = self.others_read = None
        self.heads(old, new)
        self.messages(old, new)
        self.name = "requests"
        self.requests(old, new)
        self.name = "refusals"
        self.refusals(old, new)
        self.name = "options"
        self.options(old, new)

    def note(self, place, what, why=None):
        self.changes.append((f"{self.name}{': ' + place if place else ''}", what, why))

    def tightened(self, place, what):
        self.note(place, what, TIGHTER if self.reads else None)

    def loosened(self, place, what):
        self.note(place, what, LOOSER if self.others_read else None)

    # ---- The service ---------------------------------------------------------------------------

    def heads(self, old, new):
        self.name = "the service"
        for key in ("name", "log", "prefix"):
            if old.data[key] != new.data[key]:
                self.note(key, f"it is {new.data[key]}, was {old.data[key]}", "renamed")
        for key, before in old.data["limits"].items():
            after = new.data["limits"].get(key)
            if after is not None and after < before:
                self.note(key, f"it is {after}, was {before}", TIGHTER)

    def requests(self, old, new):
        after = {row["subject"]: row for row in new.requests}
        for row in old.requests:
            have = after.get(row["subject"])
            if have is None:
                self.note(row["subject"], "it is not answered any more", REMOVED)
            elif have["kind"] != row["kind"]:
                self.note(row["subject"], f"it is a {have['kind']}, was a {row['kind']}", "retyped")
            elif row.get("account") not in (None, have.get("account")):
                self.note(row["subject"],
                          f"it is not answered on {row['account_subject']} any more", REMOVED)

    def refusals(self, old, new):
        """The list is open: who does not know a code goes by its status."""
        after = {row["code"]: row for row in new.refusals}
        for row in old.refusals:
            have = after.pop(row["code"], None)
            if have is None:
                self.note(row["code"], "the code is gone",
                          "removed: a key of that time may still be answered with it")
            elif have["status"] != row["status"]:
                self.note(row["code"], f"its status is {have['status']}, was {row['status']}",
                          "who does not know the code goes by its status")
        for code in after:
            self.note(code, "a new code")

    def options(self, old, new):
        after = {row["environment"]: row for row in new.options}
        for row in old.options:
            name, have = row["name"] or row["environment"], after.pop(row["environment"], None)
            if have is None:
                self.note(name, "the option is gone", REMOVED)
                continue
            for key in ("name", "kind"):
                if have[key] != row[key]:
                    self.note(name, f"its {key} is {have[key]}, was {row[key]}", "retyped")
            gone = [value for value in row.get("choices", [])
                    if value not in have.get("choices", [])]
            if gone:
                self.note(name, f"the values {', '.join(gone)} are gone", TIGHTER)
            if have.get("min", 0) > row.get("min", 0) or have.get("max", 0) < row.get("max", 0):
                self.note(name, f"it is {have.get('min')} to {have.get('max')}, "
                          f"was {row.get('min')} to {row.get('max')}", TIGHTER)
            if have["default"] != row["default"]:
                self.note(name, f"its default is {have['default']}, was {row['default']}")
        for row in after.values():
            self.note(row["name"] or row["environment"], "a new option")

    # ---- Messages ------------------------------------------------------------------------------

    def messages(self, old, new):
        before = {name: plain(schema, name) for name, schema in old.schemas.items()}
        after = {name: plain(schema, name) for name, schema in new.schemas.items()}
        roles, roles_now = roles_of(old), roles_of(new)
        added = [name for name in after if name not in before]
        for name, schema in before.items():
            self.name = name
            self.reads, self.others_read, is_relied_on = roles.get(name, (False,) * 3)
            if name not in after:
                twin = next((other for other in added if same(after[other], schema)), None)
                hint = f"; is it renamed to {twin}?" if twin else ""
                self.note("", "the message is gone" + hint, REMOVED if is_relied_on else None)
                continue
            if is_relied_on and not roles_now.get(name, (False,) * 3)[2]:
                self.note("", "it is not said or answered any more", REMOVED)
            self.schemas(schema, after[name], "")
            self.examples(schema, after[name])
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
            what = f"{keyword} is {'gone' if after is None else after}, " \
                   f"was {'none' if before is None else before}"
            if before is None or (after is not None
                                  and (after > before) == (keyword in LOWER)):
                self.tightened(place, what)
            else:
                self.loosened(place, what)

    def values(self, old, new, place):
        if "enum" in old and "enum" in new:
            gone = [value for value in old["enum"] if value not in new["enum"]]
            more = [value for value in new["enum"] if value not in old["enum"]]
            if gone:
                self.tightened(place, f"the values {', '.join(gone)} are gone")
            if more:
                self.loosened(place, f"the values {', '.join(more)} are new")
        for keyword in ("enum", "pattern"):
            if keyword in new and keyword not in old:
                self.tightened(place, f"{keyword} is new")
            elif keyword in old and keyword not in new:
                self.loosened(place, f"{keyword} is gone")
        if "pattern" in old and "pattern" in new and old["pattern"] != new["pattern"]:
            self.note(place, f"its pattern is {new['pattern']}, was {old['pattern']}",
                      "nobody can say what that allows")

    def fields(self, old, new, place):
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", [])), set(new.get("required", []))
        closed_before, closed_after = (schema.get("additionalProperties", True) is False
                                       for schema in (old, new))
        if closed_after and not closed_before:
            self.tightened(place, "the object is closed")
        elif closed_before and not closed_after:
            self.loosened(place, "the object is open")
        added = [name for name in after if name not in before]
        for name, child in before.items():
            here = f"{place}.{name}" if place else name
            if name not in after:
                twin = next((other for other in added if same(after[other], child)), None)
                hint = f"; is it renamed to {twin}?" if twin else ""
                self.note(here, "the field is gone" + hint, REMOVED)
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
                self.note(here, "a new field",
                          "the object is closed: readers with the old contract refuse it")
            else:
                self.note(here, "a new optional field")

    def examples(self, old, new):
        pairs = ((new, old, "old"),) * self.reads + ((old, new, "new"),) * self.others_read
        for reader, writer, whose in pairs:
            for i, example in enumerate(writer.get("examples", [])):
                why = misfit(reader, example, "")
                if why:
                    other = "new" if whose == "old" else "old"
                    self.note("", f"its {whose} example {i + 1} does not fit the {other} contract",
                              why)


# ---- Whether a value fits ------------------------------------------------------------------------

def misfit(schema, value, place):
    """Why a value does not fit a schema; None when it does."""
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else kind or list(TYPES)
    if not any(isinstance(value, TYPES[k]) and (isinstance(value, bool) <= (k == "boolean"))
               for k in kinds):
        return f"{place or 'it'} is not of the type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{place} is none of the values"
    if isinstance(value, str) and "pattern" in schema \
            and not re.search(schema["pattern"], value, re.A):
        return f"{place} does not match the pattern"
    size = value if isinstance(value, (int, float)) else len(value) if value is not None else 0
    for keyword in LOWER | UPPER:
        applies = COUNTED.get(type(value).__name__)
        if applies and keyword in schema and keyword.endswith(applies):
            if size < schema[keyword] if keyword in LOWER else size > schema[keyword]:
                return f"{place or 'it'} is beyond {keyword}"
    if isinstance(value, list):
        items = schema.get("items", {})
        return next((why for i, item in enumerate(value)
                     if (why := misfit(items, item, f"{place}[{i}]"))), None)
    return misfit_of_object(schema, value, place) if isinstance(value, dict) else None


def misfit_of_object(schema, value, place):
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
