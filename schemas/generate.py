#!/usr/bin/env python3
"""Compiles a JSON Schema 2020-12 file to C: a struct and a table a message, see contract/schema.h.

One file is one message, or, when it has nothing but $defs, the pieces that several messages share.
NAME.json becomes NAME.h and NAME.c, so that a change of one message concerns only who includes it.
The generator knows just the keywords below and refuses every other one, naming file, place and
keyword: what a contract says is what the code checks. The table also has the text of its schema,
with the pieces that it uses, so that a program can print its contract (--print-contract).
"""
import argparse
import copy
import json
import os
import pathlib
import re
import sys

sys.dont_write_bytecode = True         # it may be installed where nothing else is to be
import pattern

ANNOTATIONS = {"$schema", "$id", "$defs", "$comment", "title", "description", "examples",
               "deprecated", "x-account"}
TYPES = {"null": 1, "boolean": 2, "integer": 4, "number": 8, "string": 16, "array": 32,
         "object": 64}
KEYWORDS = {"type", "properties", "required", "additionalProperties", "items", "enum", "pattern",
            "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
            "minimum", "maximum", "x-printable", "$ref"}
COUNTS = {"minLength": "length_min", "maxLength": "length_max", "minItems": "items_min",
          "maxItems": "items_max", "minProperties": "properties_min",
          "maxProperties": "properties_max"}
SHAPES = {"string": "SHAPE_TEXT", "integer": "SHAPE_INTEGER", "boolean": "SHAPE_BOOLEAN",
          "object": "SHAPE_STRUCT", "array": "SHAPE_LIST"}
SIZES = {"SHAPE_TEXT": "sizeof(const char *)", "SHAPE_INTEGER": "sizeof(int64_t)",
         "SHAPE_BOOLEAN": "sizeof(_Bool)"}
KEYWORDS_OF_C = {"int", "char", "default", "case", "register", "struct", "union", "enum", "long",
                 "short", "switch"}
EVENT = re.compile(r"evt\.[^.]+\.([A-Za-z0-9_]+)((?:\.v[0-9]+)?)")
REFERENCE = re.compile(r"([A-Za-z0-9_.-]*)#/\$defs/([A-Za-z0-9_]+)")


class Refused(Exception):
    """The schema says something that the generator does not implement, or means nothing."""


def refuse(place, why):
    raise Refused(f"{place}: {why}")


def c_name(text):
    """order.place -> order_place; evt.order.OrderPlaced.v2 -> order_placed_v2."""
    event = EVENT.fullmatch(text)
    if event:
        text = re.sub(r"(?<!^)(?=[A-Z])", "_", event[1]).lower() + event[2]
    name = re.sub(r"[^A-Za-z0-9]", "_", text)
    return name + "_" if name in KEYWORDS_OF_C else name


def c_string(text):
    out = ['"']
    for byte in text.encode():
        char = chr(byte)
        plain = 0x20 <= byte < 0x7F and char != "?"
        out.append(f"\\{char}" if char in '"\\' else char if plain else f"\\{byte:03o}")
    return "".join(out) + '"'


def c_text(text, width=72):
    """A long text as C strings, one a line."""
    parts = (text[at:at + width] for at in range(0, len(text), width))
    return "\n        ".join(c_string(part) for part in parts)


def stem_of(path):
    """The name of a message: that of its file."""
    return path.name.removesuffix(".json")


def load(path):
    """The schema, with its patterns written out: they mean the same to whoever reads them."""
    try:
        return pattern.write_out_all(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        refuse(path.name, f"cannot be read: {error}")
    except pattern.PatternError as error:
        refuse(path.name, str(error))


def has_only_pieces(schema):
    return isinstance(schema, dict) and "$defs" in schema and set(schema) <= ANNOTATIONS


class Compiler:
    """Collects the C text of one file. Without a file only tables that validate are made."""

    def __init__(self, path=None, typed=True):
        self.path, self.typed = path, typed
        self.schema = load(path) if path else {}
        self.structs = []           # in order of need
        self.tables = []
        self.declarations = []
        self.pieces = {}            # name in $defs of this file -> what compile() returned
        self.others = {}            # path of another file with pieces -> its Compiler
        self.serial = 0
        stem = stem_of(path) if path else ""
        if has_only_pieces(self.schema):
            # The structs of common.json have the names of its pieces, those of runtime.common.json
            # are runtime_…; the tables always have the name of the file.
            self.table_prefix = c_name(stem) + "_"
            before = stem.removesuffix("common")
            self.struct_prefix = c_name(before) if before else ""
            self.pieces_are_public = True
        else:
            self.table_prefix = self.struct_prefix = c_name(stem) + "_"
            self.pieces_are_public = False

    # ---- References ----------------------------------------------------------------------------

    def target(self, node, place):
        """The Compiler of the file that a $ref names, and the name of the piece there."""
        beside = set(node) - {"$ref"} - ANNOTATIONS
        if beside:
            refuse(place, f"{', '.join(sorted(beside))} beside $ref is not implemented")
        match = REFERENCE.fullmatch(node["$ref"])
        if not match or not self.path:
            refuse(place, f"$ref {node['$ref']!r} is not implemented; use 'file.json#/$defs/name'")
        if not match[1] or match[1] == self.path.name:
            return self, match[2]
        path = self.path.parent / match[1]
        if path not in self.others:
            self.others[path] = Compiler(path)
        if not self.others[path].pieces_are_public:
            refuse(place, f"$ref leads into {path.name}, which is a message of its own")
        return self.others[path], match[2]

    def piece_node(self, name, place):
        node = self.schema.get("$defs", {}).get(name)
        if node is None:
            refuse(place, f"$ref names {name}, which {self.path.name} does not have")
        return node

    def piece(self, name, place):
        """One struct and one table for all who use it."""
        node = self.piece_node(name, place)
        if name not in self.pieces:
            self.pieces[name] = None
            here = f"{self.path.name}#/$defs/{name}"
            self.pieces[name] = self.compile(self.struct_prefix + c_name(name), node, here,
                                             table=self.table_prefix + c_name(name),
                                             is_piece=True)
        if self.pieces[name] is None:
            refuse(place, f"$ref to {name} leads back to itself, which is not implemented")
        return self.pieces[name]

    def self_contained(self, node, pieces, is_top=False):
        """The schema with each reference leading into its own $defs, which `pieces` collects."""
        if isinstance(node, list):
            return [self.self_contained(part, pieces) for part in node]
        if not isinstance(node, dict):
            return node
        out = {}
        for key, value in node.items():
            if key == "examples":
                out[key] = copy.deepcopy(value)
            elif key == "$ref":
                owner, name = self.target(node, self.path.name)
                out[key] = "#/$defs/" + name
                if name not in pieces:
                    pieces[name] = owner, None
                    piece = owner.piece_node(name, self.path.name)
                    pieces[name] = owner, owner.self_contained(piece, pieces)
                elif pieces[name][0].path != owner.path:
                    refuse(self.path.name, f"it uses the {name} of two files")
            elif not (is_top and key == "$defs"):
                out[key] = self.self_contained(value, pieces)
        return out

    def text(self):
        """The schema, whole in itself, as compact JSON."""
        pieces = {}
        out = self.self_contained(self.schema, pieces, is_top=True)
        if pieces:
            out["$defs"] = {name: piece for name, (_, piece) in sorted(pieces.items())}
        return json.dumps(out, ensure_ascii=False, separators=(",", ":"))

    # ---- Parts of a schema ---------------------------------------------------------------------

    def check(self, node, place):
        if not isinstance(node, dict):
            refuse(place, "a boolean schema is not implemented")
        if "x-account" in node and node is not self.schema:
            refuse(f"{place}/x-account", "only a whole message concerns an account")
        for keyword in node:
            if keyword not in KEYWORDS and keyword not in ANNOTATIONS:
                refuse(f"{place}/{keyword}", "the keyword is not implemented")

    def account(self, place):
        """The name of the field that says which account the message concerns; None: there is
        none."""
        name = self.schema.get("x-account")
        if name is None:
            return None
        field = self.schema.get("properties", {}).get(name)
        if isinstance(field, dict) and "$ref" in field:
            owner, piece = self.target(field, place)
            field = owner.piece_node(piece, place)
        if not isinstance(field, dict) or field.get("type") != "string":
            refuse(f"{place}/x-account", f"{name!r} is not a property that is a string")
        return name

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
        if len(names) != 1 or names[0] not in SHAPES:
            refuse(f"{place}/type", "a message's field has exactly one type of "
                   "string, integer, boolean, object, array")
        return SHAPES[names[0]]

    def pattern(self, name, node, place):
        if "pattern" not in node:
            return None
        try:
            steps = pattern.compile_pattern(node["pattern"])
        except pattern.PatternError as error:
            refuse(f"{place}/pattern", str(error))
        rows = ",\n".join(f"    {{ {s.op}, {s.to}, {s.or_to}, "
                          f"{{ {s.low:#x}u, {s.high:#x}u, {int(s.others)} }} }}" for s in steps)
        self.tables.append(
            f"static const struct pattern_step {name}_steps[] = {{\n{rows}\n}};\n"
            f"static const struct pattern {name}_pattern = {{ {c_string(node['pattern'])}, "
            f"{name}_steps, {len(steps)} }};\n")
        return f"&{name}_pattern"

    def texts(self, name, values):
        if values is None:
            return None
        listed = "".join(f"{c_string(v)}, " for v in values)
        self.tables.append(f"static const char *const {name}[] = {{ {listed}NULL }};\n")
        return name

    def enum(self, name, node, place):
        values = node.get("enum")
        if values is not None and (not isinstance(values, list) or not all(
                isinstance(v, str) and "\0" not in v for v in values)):
            refuse(f"{place}/enum", "only strings are implemented")
        return self.texts(f"{name}_values", values)

    def member(self, field, schema, required):
        """The C declaration of a struct's member, and the member that extra_offset means."""
        shape = schema["shape"]
        if shape == "SHAPE_TEXT":
            return f"const char *{field};", None
        if shape in ("SHAPE_INTEGER", "SHAPE_BOOLEAN"):
            kind = "int64_t" if shape == "SHAPE_INTEGER" else "_Bool"
            if required:
                return f"{kind} {field};", None
            return f"{kind} {field}; _Bool has_{field};", f"has_{field}"
        if shape == "SHAPE_STRUCT":
            if required:
                return f"struct {schema['c']} {field};", None
            return f"const struct {schema['c']} *{field};", None
        item = schema["items"]
        element = {"SHAPE_TEXT": "const char *const ", "SHAPE_INTEGER": "int64_t ",
                   "SHAPE_BOOLEAN": "_Bool "}.get(item["shape"], f"const struct {item['c']} ")
        return f"{element}*{field}; size_t {field}_count;", f"{field}_count"

    def fields(self, name, node, place):
        required = node.get("required", [])
        rows, members = [], []
        for key, child in node.get("properties", {}).items():
            if "\0" in key:
                refuse(f"{place}/properties", "a NUL in a name is not implemented")
            schema = self.compile(self.inner(name, c_name(key)), child,
                                  f"{place}/properties/{key}")
            offset, extra = "0", "0"
            if self.typed:
                field = c_name(key)
                declaration, extra_member = self.member(field, schema, key in required)
                members.append(f"    {declaration}")
                offset = f"offsetof(struct {name}, {field})"
                extra = f"offsetof(struct {name}, {extra_member})" if extra_member else "0"
            rows.append(f"    {{ {c_string(key)}, &{schema['table']}, {offset}, {extra}, "
                        f"{int(key in required)} }},\n")
        return rows, members

    def inner(self, name, suffix):
        """What is nested has the name of its place, or a number where no struct is made."""
        if not self.typed:
            self.serial += 1
            suffix = self.serial
        return f"{name}_{suffix}"

    # ---- A schema ------------------------------------------------------------------------------

    def compile(self, name, node, place, table=None, public=None, is_piece=False):
        """Makes struct NAME and its table. Says what a field of it is in C."""
        if isinstance(node, dict) and "$ref" in node and not is_piece:
            owner, piece = self.target(node, place)
            return owner.piece(piece, place)
        self.check(node, place)
        table = table or name
        shape = self.shape(node, place)
        out = {"shape": shape, "c": name, "table": f"{table}_schema"}
        items = None
        if "items" in node:
            items = out["items"] = self.compile(self.inner(name, "item"), node["items"],
                                                f"{place}/items")
        elif shape == "SHAPE_LIST":
            refuse(place, "an array of a message must say what its items are")
        if shape == "SHAPE_LIST" and items["shape"] == "SHAPE_LIST":
            refuse(place, "an array of arrays is not implemented")
        rows, members = self.fields(name, node, place)
        size = SIZES.get(shape, "0")
        if shape == "SHAPE_STRUCT":
            members = members or ["    char nothing;"]
            self.structs.append(f"struct {name} {{\n" + "\n".join(members) + "\n};\n")
            size = f"sizeof(struct {name})"
        if rows:
            self.tables.append(f"static const struct schema_field {table}_fields[] = "
                               f"{{\n{''.join(rows)}}};\n")
        parts = [f".shape = {shape}", f".size = {size}"]
        if rows:
            parts += [f".fields = {table}_fields", f".field_count = {len(rows)}"]
        self.table(table, node, place, parts, items, public,
                   is_public=bool(public) or is_piece and self.pieces_are_public)
        return out

    def table(self, name, node, place, parts, items, public, is_public):
        closed = node.get("additionalProperties", True)
        if not isinstance(closed, bool):
            refuse(f"{place}/additionalProperties", "only true and false are implemented")
        parts = [f".types = {sum(TYPES[t] for t in self.types(node, place))}"] + parts
        if not closed:
            parts.append(".closed = 1")
        for member, value in (("required", self.texts(f"{name}_required", node.get("required"))),
                              ("values", self.enum(name, node, place)),
                              ("pattern", self.pattern(name, node, place)),
                              ("items", f"&{items['table']}" if items else None)):
            if value:
                parts.append(f".{member} = {value}")
        if node.get("x-printable", False) is not False:
            if node["x-printable"] is not True or self.types(node, place) != ["string"]:
                refuse(f"{place}/x-printable", "only true, and only of a string")
            parts.append(".printable = 1")
        for keyword, member in COUNTS.items():
            parts.append(f".{member} = {int(node[keyword]) if keyword in node else -1}")
        parts.append(f".minimum = {node.get('minimum', '-INFINITY')}")
        parts.append(f".maximum = {node.get('maximum', 'INFINITY')}")
        if public:
            parts.insert(0, f".name = {c_string(public)}")
            said = self.schema.get("description") or self.schema.get("title")
            if said:
                parts.append(f".description = {c_string(said)}")
            parts.append(f".text =\n        {c_text(self.text())}")
            account = self.account(place)
            if account:
                parts.append(f".account = {c_string(account)}")
        storage = "" if is_public else "static "
        self.tables.append(f"{storage}const struct schema {name}_schema = {{\n    "
                           + ",\n    ".join(parts) + ",\n};\n")
        if is_public:
            self.declarations.append(f"extern const struct schema {name}_schema;\n")

    def compile_file(self):
        if self.pieces_are_public:
            for name in self.schema["$defs"]:
                self.piece(name, self.path.name)
        else:
            stem = stem_of(self.path)
            self.compile(c_name(stem), self.schema, self.path.name + "#", public=stem)


# ---- The command ---------------------------------------------------------------------------------

def note(*names):
    return f"/* Made by generate.py from {', '.join(names)}. Do not edit: change the schema. */\n"


def write(path, text):
    """Leaves a file alone that is as it should be: who includes it need not be compiled again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate(file, header, source, depfile):
    compiler = Compiler(file)
    compiler.compile_file()
    includes = "".join(f'#include "{stem_of(path)}.h"\n' for path in compiler.others)
    write(header, note(file.name) + "#pragma once\n#include \"contract/schema.h\"\n" + includes
          + "\n" + "\n".join(compiler.structs) + "\n" + "".join(compiler.declarations))
    write(source, note(file.name) + f"#include \"{header.name}\"\n#include <math.h>\n\n"
          + "\n".join(compiler.tables))
    if depfile:
        read = [file, *compiler.others, pathlib.Path(__file__), pathlib.Path(pattern.__file__)]
        escaped = " ".join(str(path.resolve()).replace(" ", "\\ ") for path in read)
        depfile.write_text(f"{header} {source}: {escaped}\n", encoding="utf-8")


def declare(files, header):
    """By the names alone, so that a change of a message is none of it."""
    stems = [stem_of(file) for file in files]
    write(header, note("the names of the messages")
          + "#pragma once\n#include \"contract/schema.h\"\n\n"
          + "".join(f"extern const struct schema {c_name(stem)}_schema;\n" for stem in stems))


def generate_examples(files, header):
    """For tests: the examples of many messages, each with its schema."""
    includes, rows = [], []
    top = os.path.commonpath([file.resolve().parent for file in files])
    for file in files:
        schema = load(file)
        if has_only_pieces(schema):
            continue
        stem = stem_of(file)
        place = file.resolve().parent.relative_to(top) / stem
        includes.append(f'#include "{place}.h"\n')
        for example in schema.get("examples", []):
            text = json.dumps(example, ensure_ascii=False, separators=(",", ":"))
            rows.append(f"    {{ &{c_name(stem)}_schema, {c_string(text)} }},\n")
    write(header, note("many schemas") + "#pragma once\n" + "".join(includes)
          + "\nstatic const struct {\n    const struct schema *schema;\n    const char *text;\n"
          + "} contract_examples[] = {\n" + "".join(rows) + "};\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE.json",
                        help="the schema of one message, or shared pieces")
    parser.add_argument("--declarations", type=pathlib.Path, metavar="FILE.h",
                        help="instead, declare the schemas of all FILEs, for a service's table; "
                        "nothing is read")
    parser.add_argument("--out-h", type=pathlib.Path, metavar="FILE.h",
                        help="header to write: structs and declarations")
    parser.add_argument("--out-c", type=pathlib.Path, metavar="FILE.c", help="source to write")
    parser.add_argument("--depfile", type=pathlib.Path, metavar="FILE.d",
                        help="write which files were read, for ninja")
    parser.add_argument("--examples", type=pathlib.Path, metavar="FILE.h",
                        help="instead, write the examples of all FILEs for tests")
    options = parser.parse_args()
    try:
        if options.declarations:
            declare(options.files, options.declarations)
        elif options.examples:
            generate_examples(options.files, options.examples)
        elif len(options.files) == 1 and options.out_h and options.out_c:
            generate(options.files[0], options.out_h, options.out_c, options.depfile)
        else:
            parser.error("one FILE.json becomes --out-h and --out-c")
    except Refused as refused:
        sys.exit(f"generate.py: {refused}")


if __name__ == "__main__":
    main()
