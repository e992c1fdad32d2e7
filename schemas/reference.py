"""Reference: the AsyncAPI document of a service as Markdown for people. Used by asyncapi.py."""
import json
import pathlib

LIMITS = (("minLength", "maxLength", " characters"), ("minItems", "maxItems", " of them"),
          ("minProperties", "maxProperties", " fields"), ("minimum", "maximum", ""))
KINDS = {"command": "Commands", "query": "Queries", "runtime": "What every service answers"}
KIND_TEXTS = {
    "command": "They change something. Send an `Idempotency-Key`, and the same key again when no answer came.",
    "query": "They change nothing. `as_of` in a reply says which positions of the logs it reflects.",
    "runtime": "By the runtime, for other services and for operators.",
}


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def code(text):
    return f"`{text}`"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(part) for part in row) + " |" for row in rows] + [""]


def kind_of(schema):
    """The type in words; a shared piece is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if schema["type"] == "array":
        return "list of " + kind_of(schema["items"])
    return {"string": "text", "object": "object"}.get(schema["type"], schema["type"])


def limits_of(schema):
    said = []
    for low, high, unit in LIMITS:
        if low in schema and high in schema:
            said.append(f"{schema[low]:,} to {schema[high]:,}{unit}")
        elif low in schema or high in schema:
            said.append(f"at {'least' if low in schema else 'most'} {schema.get(low, schema.get(high)):,}{unit}")
    if "enum" in schema:
        said.append("one of " + ", ".join(code(value) for value in schema["enum"]))
    if "pattern" in schema:
        said.append(code(schema["pattern"]))
    return ", ".join(said)


def said_of(schema, schemas):
    """What a field says of itself, or what the shared piece says that it refers to; and its limits."""
    shared = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    text = schema.get("description", shared.get("description", ""))
    limits = limits_of(schema)
    return f"{text.rstrip('.')} ({limits})".strip() if limits else text


def rows_of(schema, schemas, prefix=""):
    """A row a field; the fields of an unnamed object follow it."""
    rows = []
    for name, child in schema.get("properties", {}).items():
        needed = "yes" if name in schema.get("required", []) else ""
        rows.append((code(prefix + name), kind_of(child), needed, said_of(child, schemas)))
        inner = child.get("items", child)
        if "$ref" not in inner:
            rows += rows_of(inner, schemas, f"{prefix}{name}{'[]' if 'items' in child else ''}.")
    return rows


def fields(schema, schemas):
    rows = rows_of(schema, schemas)
    return table(("field", "type", "needed", "what"), rows) if rows else ["It has no fields.", ""]


def example(title, value):
    return [title, "", "```json", json.dumps(value, indent=2, ensure_ascii=False), "```", ""]


def anchor(subject):
    """As GitHub makes it of a heading."""
    return "".join(c for c in subject.lower() if c.isalnum() or c in "-_")


def requests_of(contract, document):
    schemas, lines = document["components"]["schemas"], []
    for kind, title in KINDS.items():
        rows = [row for row in contract.requests if row[1] == kind]
        if rows:
            lines += [f"## {title}", "", KIND_TEXTS[kind], ""]
        for subject, _, request, reply in rows:
            lines += [f"### {subject}", "", f"**{schemas[request]['title']}.** {schemas[request]['description']}", ""]
            lines += fields(schemas[request], schemas)
            lines += [f"The reply, **{schemas[reply]['title']}**:", ""] + fields(schemas[reply], schemas)
            lines += example("For example:", schemas[request]["examples"][0])
            lines += example("is answered by:", schemas[reply]["examples"][0])
    return lines


def leader_link(subject, leader):
    """To the reference of the leading service, which one outside of this tree does not have."""
    if (pathlib.Path(__file__).resolve().parent.parent / leader).is_dir():
        return f"[{subject}]({leader}.md#{anchor(subject)})"
    return code(subject)


def events_of(contract, document):
    schemas, service = document["components"]["schemas"], contract.service
    lines = ["## Events that it publishes", "", f"Into the stream `{service.log}`, in the order of its log; nobody else may. "
             "Readers ignore fields that they do not know.", ""]
    for subject in contract.published:
        lines += [f"### {subject}", "", schemas[subject]["description"], ""] + fields(schemas[subject], schemas)
        lines += example("For example:", schemas[subject]["examples"][0])
    if contract.read:
        lines += ["## Events that it reads", "", "Each is folded into a projection, in order, once.", ""]
        lines += table(("subject", "led by", "it reacts"), [
            (leader_link(subject, leader), leader, code(react) if react else "")
            for subject, leader, _, react in contract.read])
    if contract.calls:
        lines += ["## What it asks of others", ""]
        for subject, request, reply in contract.calls:
            lines += [f"### {subject}", "", schemas[request]["description"], ""] + fields(schemas[request], schemas)
            lines += ["The reply:", ""] + fields(schemas[reply], schemas)
    return lines


def common_of(document, refusals):
    schemas = document["components"]["schemas"]
    lines = ["## Refusals", "", schemas["error"]["description"],
              "More codes may come: who does not know one goes by its status.", ""]
    if refusals:
        lines += table(("code", "status"), [(code(name), str(status)) for name, status in refusals])
    lines += example("For example:", schemas["error"]["examples"][0])
    lines += ["## Headers", ""]
    for name, schema in schemas.items():
        if name.startswith("headers."):
            lines += [f"{schema['title']}:", ""] + table(("header", "needed", "what"), [
                (code(key), "yes" if key in schema.get("required", []) else "", value["description"])
                for key, value in schema["properties"].items()])
    lines += ["## Shared pieces", ""]
    messages = document["components"]["messages"]
    for name, schema in schemas.items():
        if name in messages or name.startswith("headers."):
            continue
        limits = limits_of(schema)
        kind = kind_of(schema).capitalize() + (f": {limits}" if limits else "")
        lines += [f"### {name}", "", f"{kind}. {schema.get('description', '')}", ""]
        lines += fields(schema, schemas) if "properties" in schema else []
    return lines


def contents_of(contract):
    lines = []
    for kind, title in KINDS.items():
        subjects = [subject for subject, of_kind, _, _ in contract.requests if of_kind == kind]
        if subjects:
            lines.append(f"- {title}: " + ", ".join(f"[{subject}](#{anchor(subject)})" for subject in subjects))
    lines.append("- Events: " + ", ".join(f"[{s.rpartition('.')[2]}](#{anchor(s)})" for s in contract.published))
    return lines + ["- [Refusals](#refusals), [headers](#headers), [shared pieces](#shared-pieces)", ""]


def reference(contract, document, refusals):
    service = contract.service
    lines = [f"# {service.name}", "",
             "<!-- Made by schemas/asyncapi.py from schemas/ and the service's table. Do not edit. -->", "",
             service.description + ".", ""]
    lines += contents_of(contract) + requests_of(contract, document) + events_of(contract, document)
    return "\n".join(lines + common_of(document, refusals)).rstrip() + "\n"
