#!/usr/bin/env python3
"""Compiles JSON Schema 2020-12 files to C: a struct and a table (common/contract/schema.h) a message.

The generator knows just the keywords below and refuses every other one, naming file, place and keyword:
what a contract says is what the code checks.
"""
import argparse
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True         # it may be installed where nothing else is to be
from pattern import PatternError, compile_pattern

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples", "deprecated"}
TYPES = {"null": 1, "boolean": 2, "integer": 4, "number": 8, "string": 16, "array": 32, "object": 64}
KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "enum", "pattern", "minLength", "maxLength",
            "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum", "$ref"}
COUNTS = {"minLength": "length_min", "maxLength": "length_max", "minItems": "items_min", "maxItems": "items_max",
          "minProperties": "properties_min", "maxProperties": "properties_max"}
KEYWORDS_OF_C = {"int", "char", "default", "case", "register", "struct", "union", "enum", "long", "short", "switch"}


class Refused(Exception):
    """The schema says something that the generator does not implement, or means nothing."""


def refuse(place, why):
    raise Refused(f"{place}: {why}")


def c_name(text):
    """order.place -> order_place; evt.order.OrderPlaced -> order_placed."""
    if text.startswith("evt."):
        text = re.sub(r"(?<!^)(?=[A-Z])", "_", text.rsplit(".", 1)[1]).lower()
    name = re.sub(r"[^A-Za-z0-9]", "_", text)
    return name + "_" if name in KEYWORDS_OF_C else name


def c_string(text):
    out = ['"']
    for byte in text.encode():
        char = chr(byte)
        out.append(char if 0x20 <= byte < 0x7F and char not in '"\\?' else f"\\{byte:03o}")
    return "".join(out) + '"'


class Compiler:
    """Collects C text; one instance an output pair. With typed=False only validation tables are made."""

    def __init__(self, typed=True):
        self.typed = typed
        self.structs = []           # in order of need
        self.tables = []
        self.declarations = []
        self.files = {}
        self.shared = {}            # (file, name in $defs) -> what compile() returned
        self.serial = 0

    def load(self, path):
        path = path.resolve()
        if path not in self.files:
            try:
                self.files[path] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                refuse(path.name, f"cannot be read: {error}")
        return self.files[path]

    def compile_shared(self, node, path, place):
        """A $ref to 'file.json#/$defs/name' or '#/$defs/name': one struct and one table for all who use it."""
        beside = set(node) - {"$ref"} - ANNOTATIONS
        if beside:
            refuse(place, f"{', '.join(sorted(beside))} beside $ref is not implemented")
        match = re.fullmatch(r"([A-Za-z0-9_.-]*)#/\$defs/([A-Za-z0-9_]+)", node["$ref"])
        if not match or not path:
            refuse(place, f"$ref {node['$ref']!r} is not implemented; use 'file.json#/$defs/name'")
        path = path.parent / match[1] if match[1] else path
        target = self.load(path).get("$defs", {}).get(match[2])
        if target is None:
            refuse(place, f"$ref names {match[2]}, which {path.name} does not have")
        if (path, match[2]) not in self.shared:
            self.shared[path, match[2]] = None
            self.shared[path, match[2]] = self.compile(c_name(match[2]), target, path, f"{path.name}#/$defs/{match[2]}")
        if self.shared[path, match[2]] is None:
            refuse(place, f"$ref to {match[2]} leads back to itself, which is not implemented")
        return self.shared[path, match[2]]

    def check(self, node, place):
        if not isinstance(node, dict):
            refuse(place, "a boolean schema is not implemented")
        for keyword in node:
            if keyword not in KEYWORDS and keyword not in ANNOTATIONS:
                refuse(f"{place}/{keyword}", "the keyword is not implemented")

    def types(self, node, place):
        names = node.get("type", [])
        names = [names] if isinstance(names, str) else names
        for name in names:
            if name not in TYPES:
                refuse(f"{place}/type", f"{name!r} is not a type")
        return names

    def shape(self, node, place):
        names = self.types(node, place)
        if not self.typed:
            return "SHAPE_NONE"
        shapes = {"string": "SHAPE_TEXT", "integer": "SHAPE_INTEGER", "boolean": "SHAPE_BOOLEAN", "object": "SHAPE_STRUCT",
                  "array": "SHAPE_LIST"}
        if len(names) != 1 or names[0] not in shapes:
            refuse(f"{place}/type", "a message's field has exactly one type of string, integer, boolean, object, array")
        return shapes[names[0]]

    def pattern(self, name, node, place):
        if "pattern" not in node:
            return None
        try:
            steps = compile_pattern(node["pattern"])
        except PatternError as error:
            refuse(f"{place}/pattern", str(error))
        rows = ",\n".join(f"    {{ {s.op}, {s.to}, {s.or_to}, {{ {s.low:#x}u, {s.high:#x}u, {int(s.others)} }} }}" for s in steps)
        self.tables.append(f"static const struct pattern_step {name}_steps[] = {{\n{rows}\n}};\n"
                           f"static const struct pattern {name}_pattern = {{ {c_string(node['pattern'])}, {name}_steps, {len(steps)} }};\n")
        return f"&{name}_pattern"

    def texts(self, name, values):
        if values is None:
            return None
        listed = "".join(f"{c_string(v)}, " for v in values)
        self.tables.append(f"static const char *const {name}[] = {{ {listed}NULL }};\n")
        return name

    def enum(self, name, node, place):
        values = node.get("enum")
        if values is not None and (not isinstance(values, list) or not all(isinstance(v, str) and "\0" not in v for v in values)):
            refuse(f"{place}/enum", "only strings are implemented")
        return self.texts(f"{name}_values", values)

    def member(self, field, schema, name, required):
        """The C declaration of a struct's member, and the member that extra_offset means."""
        if schema["shape"] == "SHAPE_TEXT":
            return f"const char *{field};", None
        if schema["shape"] in ("SHAPE_INTEGER", "SHAPE_BOOLEAN"):
            kind = "int64_t" if schema["shape"] == "SHAPE_INTEGER" else "_Bool"
            return (f"{kind} {field};", None) if required else (f"{kind} {field}; _Bool has_{field};", f"has_{field}")
        if schema["shape"] == "SHAPE_STRUCT":
            return (f"struct {schema['c']} {field};" if required else f"const struct {schema['c']} *{field};"), None
        item = schema["items"]
        element = {"SHAPE_TEXT": "const char *", "SHAPE_INTEGER": "int64_t ", "SHAPE_BOOLEAN": "_Bool "}.get(
            item["shape"], f"struct {item.get('c')} ")
        element = "const " + element if item["shape"] == "SHAPE_STRUCT" else element
        if item["shape"] == "SHAPE_TEXT":
            element = "const char *const "
        return f"{element}*{field}; size_t {field}_count;", f"{field}_count"

    def fields(self, name, node, path, place):
        required = node.get("required", [])
        rows, members = [], []
        for key, child in node.get("properties", {}).items():
            if "\0" in key:
                refuse(f"{place}/properties", "a NUL in a name is not implemented")
            schema = self.compile(f"{name}_{c_name(key)}" if self.typed else f"{name}_{self.next()}", child, path,
                                  f"{place}/properties/{key}")
            offset, extra = "0", "0"
            if self.typed:
                field = c_name(key)
                declaration, extra_member = self.member(field, schema, name, key in required)
                members.append(f"    {declaration}")
                offset = f"offsetof(struct {name}, {field})"
                extra = f"offsetof(struct {name}, {extra_member})" if extra_member else "0"
            rows.append(f"    {{ {c_string(key)}, &{schema['table']}, {offset}, {extra}, {int(key in required)} }},\n")
        return rows, members

    def next(self):
        self.serial += 1
        return self.serial

    def compile(self, name, node, path, place, public=None):
        if isinstance(node, dict) and "$ref" in node:
            return self.compile_shared(node, path, place)
        self.check(node, place)
        shape = self.shape(node, place)
        out = {"shape": shape, "c": name, "table": f"{name}_schema"}
        size = {"SHAPE_TEXT": "sizeof(const char *)", "SHAPE_INTEGER": "sizeof(int64_t)", "SHAPE_BOOLEAN": "sizeof(_Bool)"}.get(shape, "0")
        items = None
        if "items" in node:
            items = out["items"] = self.compile(f"{name}_item" if self.typed else f"{name}_{self.next()}", node["items"], path, f"{place}/items")
        elif shape == "SHAPE_LIST":
            refuse(place, "an array of a message must say what its items are")
        if shape == "SHAPE_LIST" and items["shape"] == "SHAPE_LIST":
            refuse(place, "an array of arrays is not implemented")
        rows, members = self.fields(name, node, path, place)
        if shape == "SHAPE_STRUCT":
            if not members:
                members = ["    char nothing;"]
            self.structs.append(f"struct {name} {{\n" + "\n".join(members) + "\n};\n")
            size = f"sizeof(struct {name})"
        if rows:
            self.tables.append(f"static const struct schema_field {name}_fields[] = {{\n{''.join(rows)}}};\n")
        self.table(name, node, place, shape, size, items, len(rows), public)
        return out

    def table(self, name, node, place, shape, size, items, field_count, public):
        closed = node.get("additionalProperties", True)
        if not isinstance(closed, bool):
            refuse(f"{place}/additionalProperties", "only true and false are implemented")
        parts = [f".types = {sum(TYPES[t] for t in self.types(node, place))}", f".shape = {shape}", f".size = {size}"]
        if public:
            parts.insert(0, f".name = {c_string(public)}")
        if field_count:
            parts += [f".fields = {name}_fields", f".field_count = {field_count}"]
        if not closed:
            parts.append(".closed = 1")
        for member, value in (("required", self.texts(f"{name}_required", node.get("required"))),
                              ("values", self.enum(name, node, place)), ("pattern", self.pattern(name, node, place)),
                              ("items", f"&{items['table']}" if items else None)):
            if value:
                parts.append(f".{member} = {value}")
        for keyword, member in COUNTS.items():
            parts.append(f".{member} = {int(node[keyword]) if keyword in node else -1}")
        parts.append(f".minimum = {node.get('minimum', '-INFINITY')}")
        parts.append(f".maximum = {node.get('maximum', 'INFINITY')}")
        storage = "" if public else "static "
        self.tables.append(f"{storage}const struct schema {name}_schema = {{\n    " + ", ".join(parts) + ",\n};\n")
        if public:
            self.declarations.append(f"extern const struct schema {name}_schema;\n")


NOTE = "/* Made by schemas/generate.py from the files of schemas/. Do not edit: change the schema. */\n"


def generate(files, header, source):
    compiler = Compiler()
    names = {}
    for file in files:
        name = file.name.removesuffix(".json")
        other = names.setdefault(c_name(name), name)
        if other != name:
            refuse(file.name, f"its C name {c_name(name)} is that of {other} too")
        compiler.compile(c_name(name), compiler.load(file), file.resolve(), file.name + "#", public=name)
    header.write_text(NOTE + "#pragma once\n#include \"contract/schema.h\"\n\n" + "\n".join(compiler.structs) + "\n"
                      + "".join(compiler.declarations))
    examples = []
    for file in files:
        for example in compiler.load(file).get("examples", []):
            text = json.dumps(example, ensure_ascii=False, separators=(",", ":"))
            examples.append(f"    {{ &{c_name(file.name.removesuffix('.json'))}_schema, {c_string(text)} }},\n")
    source.write_text(NOTE + f"#include \"{header.name}\"\n#include <math.h>\n\n" + "\n".join(compiler.tables))
    (source.parent / (source.stem + "_examples.h")).write_text(
        NOTE + f"#pragma once\n#include \"{header.name}\"\n\nstatic const struct {{ const struct schema *schema; const char *text; }} contract_examples[] = {{\n"
        + "".join(examples) + "};\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out-h", type=pathlib.Path, required=True, help="header to write: structs and declarations")
    parser.add_argument("--out-c", type=pathlib.Path, required=True, help="source to write; NAME_examples.h goes beside it")
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="schema files, one a message")
    options = parser.parse_args()
    try:
        generate(options.files, options.out_h, options.out_c)
    except Refused as refused:
        sys.exit(f"generate.py: {refused}")


if __name__ == "__main__":
    main()
