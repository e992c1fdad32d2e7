"""Service table: reads a service's table of contents out of its C sources, for asyncapi.py.

It knows just the few shapes that a service.c has, and refuses everything else with file and line: what
the document says is what the program does. A small reader of C initializers, not of C.
"""
import re

TOKEN = re.compile(r"""(?P<space>[ \t\n]+|/\*.*?\*/|//[^\n]*)
    | (?P<include>^[ \t]*\#[ \t]*include[^\n]*)
    | (?P<text>"(?:\\.|[^"\\\n])*")
    | (?P<char>'(?:\\.|[^'\\\n])+')
    | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
    | (?P<number>[0-9][0-9A-Za-z.]*)
    | (?P<mark>->|[{}()\[\]=,;.&*\-+<>!?:|/%~^\\\#])""", re.S | re.M | re.X)
ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}


class Refused(Exception):
    """The source has a shape that this reader does not know."""


class Token:
    def __init__(self, kind, text, path, line):
        self.kind, self.text, self.path, self.line = kind, text, path, line

    def refuse(self, why):
        raise Refused(f"{self.path}:{self.line}: {why}")


def tokens_of(path):
    text, at, line, found = path.read_text(encoding="utf-8"), 0, 1, []
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise Refused(f"{path}:{line}: {text[at]!r} is not understood")
        if match.lastgroup not in ("space", "include"):
            found.append(Token(match.lastgroup, match.group(), path, line))
        line += match.group().count("\n")
        at = match.end()
    return found


class Reader:
    """Takes tokens one by one; says where it stood when they are not what they should be."""

    def __init__(self, tokens, at=0):
        self.tokens, self.at = tokens, at

    def is_at_end(self):
        return self.at == len(self.tokens)

    def here(self):
        if self.is_at_end():
            self.tokens[-1].refuse("the file ends in the middle of a table")
        return self.tokens[self.at]

    def next(self):
        token = self.here()
        self.at += 1
        return token

    def has(self, *texts):
        return [token.text for token in self.tokens[self.at:self.at + len(texts)]] == list(texts)

    def take(self, *texts):
        for text in texts:
            token = self.next()
            if token.text != text:
                token.refuse(f"{text!r} should stand here, not {token.text!r}")

    def name(self):
        token = self.next()
        if token.kind != "name":
            token.refuse(f"a name should stand here, not {token.text!r}")
        return token.text

    def initializer(self):
        """After its opening brace: the items, each as (name or None, Token of its start, value), where
        a value is a list of such items, or a list of tokens."""
        items = []
        while not self.has("}"):
            name, start = None, self.here()
            if self.has("."):
                self.take(".")
                name = self.name()
                self.take("=")
            if self.has("{"):
                self.take("{")
                value = self.initializer()
            else:
                value = self.expression()
            items.append(Item(name, start, value))
            if not self.has("}"):
                self.take(",")
        self.take("}")
        return items

    def expression(self):
        """Tokens up to a comma or a brace; what is in parentheses belongs to it."""
        found, depth = [], 0
        while depth or not (self.has(",") or self.has("}")):
            token = self.next()
            if token.text in ("{", ";", "#"):
                token.refuse(f"{token.text!r} is not understood in a value")
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            found.append(token)
        if not found:
            self.here().refuse("a value is missing")
        return found


class Item:
    def __init__(self, name, start, value):
        self.name, self.start, self.value = name, start, value

    def kinds(self):
        return [getattr(token, "kind", "nested") for token in self.value]

    def text(self):
        if not self.value or set(self.kinds()) != {"text"}:
            self.start.refuse("a text in quotes should stand here")
        return "".join(re.sub(r"\\(.)", self.unescape, token.text[1:-1]) for token in self.value)

    def unescape(self, match):
        if match[1] not in ESCAPES:
            self.start.refuse(f"the escape \\{match[1]} is not understood")
        return ESCAPES[match[1]]

    def name_or_null(self):
        if self.kinds() != ["name"]:
            self.start.refuse("the name of a function or a table, or NULL, should stand here")
        return None if self.value[0].text == "NULL" else self.value[0].text

    def schema(self):
        if self.kinds() != ["mark", "name"] or self.value[0].text != "&" or not self.value[1].text.endswith("_schema"):
            self.start.refuse("&…_schema should stand here")
        return self.value[1].text.removesuffix("_schema")

    def is_end(self):
        """{ 0 }"""
        return len(self.value) == 1 and isinstance(self.value[0], Item) and \
            [token.text for token in self.value[0].value] == ["0"]


# ---- Tables ------------------------------------------------------------------------------------------

# What the rows of a table hold: (the field's name, how to read it).
COLUMNS = {
    "command": (("subject", Item.text), ("request", Item.schema), ("reply", Item.schema),
                ("decide", Item.name_or_null), ("answer", Item.name_or_null)),
    "query_type": (("subject", Item.text), ("request", Item.schema), ("reply", Item.schema), ("ask", Item.name_or_null)),
    "event_type": (("schema", Item.schema), ("type", Item.text), ("apply", Item.name_or_null), ("react", Item.name_or_null)),
    "source": (("log", Item.text), ("service", Item.text), ("prefix", Item.text), ("events", Item.name_or_null),
               ("option", Item.text)),
    "option": None, "refusal_type": None,
    "call_type": (("subject", Item.text), ("schema", Item.schema), ("reply_schema", Item.schema)),
}
MAY_BE_MISSING = {"option"}              # of a source: read only when an option says so
SERVICE_FIELDS = {"name": Item.text, "log": Item.text, "prefix": Item.text, "description": Item.text, "events": Item.name_or_null,
                  "sources": Item.name_or_null, "commands": Item.name_or_null, "queries": Item.name_or_null,
                  "calls": Item.name_or_null}
CALL_FIELDS = {"subject": Item.text, "schema": Item.schema, "reply_schema": Item.schema}


def read_row(columns, item):
    """A row as {field: value}, by position or by name, each field once."""
    row = {}
    for i, cell in enumerate(item.value):
        if not isinstance(cell, Item):
            item.start.refuse("a row in braces should stand here")
        if cell.name is None and i >= len(columns):
            cell.start.refuse(f"a row has {len(columns)} fields, and this is one more")
        name = cell.name or columns[i][0]
        if name not in dict(columns):
            cell.start.refuse(f"the field {name} is not known")
        if name in row:
            cell.start.refuse(f"the field {name} stands here twice")
        row[name] = dict(columns)[name](cell)
    missing = [name for name, _ in columns if name not in row and name not in MAY_BE_MISSING]
    if missing:
        item.start.refuse(f"the row has no {', '.join(missing)}")
    return row


def read_rows(kind, items, place):
    if not items or not items[-1].is_end():
        place.refuse("the table should end with { 0 }")
    if COLUMNS[kind] is None:
        return []
    rows = []
    for item in items[:-1]:
        if item.is_end():
            item.start.refuse("{ 0 } in the middle of the table: the rows after it do not exist")
        rows.append(read_row(COLUMNS[kind], item))
    return rows


def read_table(reader):
    """After `const struct`: `KIND NAME[] = {…};`. The kind, the name, and the rows."""
    kind, place = reader.name(), reader.here()
    if kind not in COLUMNS:
        place.refuse(f"a table of struct {kind} is not known")
    name = reader.name()
    reader.take("[", "]", "=", "{")
    rows = read_rows(kind, reader.initializer(), place)
    reader.take(";")
    return kind, name, rows


def read_contents(path):
    """service.c: nothing but tables. {name: (kind, rows)} and the fields of the service itself."""
    reader, tables, service = Reader(tokens_of(path)), {}, None
    while not reader.is_at_end():
        if reader.has("static", "const", "struct"):
            reader.take("static", "const", "struct")
            kind, name, rows = read_table(reader)
            tables[name] = kind, rows
        elif reader.has("static", "const", "char"):
            reader.take("static", "const", "char", "*", "const")
            reader.name()
            reader.take("[", "]", "=", "{")
            reader.initializer()
            reader.take(";")
        elif reader.has("const", "struct", "service") and service is None:
            reader.take("const", "struct", "service")
            reader.name()
            place = reader.here()
            reader.take("=", "{")
            service = read_fields(SERVICE_FIELDS, reader.initializer())
            reader.take(";")
        else:
            reader.here().refuse("only tables and one struct service are understood in a service's table of contents")
    if service is None:
        raise Refused(f"{path}: no struct service")
    for name in ("name", "log", "prefix", "description", "events", "commands", "queries"):
        if name not in service:
            place.refuse(f"the service has no .{name}")
    return tables, service


def read_fields(wanted, items):
    """The wanted ones of named fields; the others are none of the contract's business."""
    found = {}
    for item in items:
        if item.name is None:
            item.start.refuse("a field needs its name here")
        if item.name in found:
            item.start.refuse(f"the field {item.name} stands here twice")
        if item.name in wanted:
            found[item.name] = wanted[item.name](item)
    return found


# ---- Other files of the service -------------------------------------------------------------------------

def find_tables(paths):
    """`const struct event_type NAME[] = {` in any file: {name: rows}."""
    found = {}
    for path in paths:
        tokens = tokens_of(path)
        for i in range(len(tokens)):
            reader = Reader(tokens, i)
            if not reader.has("const", "struct", "event_type"):
                continue
            reader.take("const", "struct")
            if not [token.text for token in tokens[i + 4:i + 7]] == ["[", "]", "="]:
                continue                           # a declaration, or a parameter
            _, name, rows = read_table(reader)
            if name in found:
                tokens[i].refuse(f"{name} is there twice")
            found[name] = rows
    return found


class Service:
    """What a service's sources say of its contract."""

    def __init__(self, folder):
        contents = folder / "service.c"
        self.paths = [contents] + sorted(path for path in folder.glob("*.c") if path != contents)
        tables, fields = read_contents(contents)
        self.name, self.log, self.prefix = fields["name"], fields["log"], fields["prefix"]
        self.description = fields["description"]

        def rows(field, kind):
            name = fields.get(field)
            if name is None:
                return []
            if name not in tables or tables[name][0] != kind:
                raise Refused(f"{contents}: .{field} names {name}, which is no table of struct {kind} here")
            return tables[name][1]
        self.commands, self.queries = rows("commands", "command"), rows("queries", "query_type")
        self.events, self.sources = rows("events", "event_type"), rows("sources", "source")
        elsewhere = find_tables(self.paths[1:])
        for source in self.sources:
            own = tables.get(source["events"], (None, None))
            source["rows"] = own[1] if own[0] == "event_type" else elsewhere.get(source["events"])
            if source["rows"] is None:
                raise Refused(f"{contents}: no file of the service has the table {source['events']}")
        self.calls = rows("calls", "call_type")
        subjects = [row["subject"] for row in self.commands + self.queries]
        for subject in subjects:
            if subjects.count(subject) > 1:
                raise Refused(f"{contents}: {subject} is answered twice")


def read_refusals(path):
    """The wire codes of base/refusal.c: [(code, status)]."""
    if not path.exists():
        return []
    found = re.findall(r'\{\s*REFUSED_[A-Z_]+,\s*"([a-z_]+)",\s*([0-9]{3})\b', path.read_text(encoding="utf-8"))
    if not found:
        raise Refused(f"{path}: no refusal found")
    return [(code, int(status)) for code, status in found]
