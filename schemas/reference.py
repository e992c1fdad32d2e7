"""Reference: the AsyncAPI document of a service as Markdown for people. Used by
journey-asyncapi."""
import json

LIMITS = (("minLength", "maxLength", " characters"), ("minItems", "maxItems", " of them"),
          ("minProperties", "maxProperties", " fields"), ("minimum", "maximum", ""))
KINDS = {"command": "Commands", "query": "Queries", "runtime": "What every service answers"}
KIND_TEXTS = {
    "command": "They change something. Send an `Idempotency-Key`, and the same key again when no "
               "answer came.",
    "query": "They change nothing. `as_of` in a reply says which positions of the logs it "
             "reflects.",
    "runtime": "By the runtime, for other services and for operators.",
}


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def code(text):
    return f"`{text}`"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell(part) for part in row) + " |" for row in rows] + [""]


def anchor(subject):
    """As GitHub makes it of a heading."""
    return "".join(c for c in subject.lower() if c.isalnum() or c in "-_")


def kind_of(schema):
    """The type in words; a shared piece is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if schema["type"] == "array":
        return "list of " + kind_of(schema["items"])
    return {"string": "text", "object": "object"}.get(schema["type"], schema["type"])


def limits_of(schema):
    said = []
    for low, high, unit in LIMITS:
        if low in schema and high in schema:
            said.append(f"{schema[low]:,} to {schema[high]:,}{unit}")
        elif low in schema or high in schema:
            bound, value = ("least", low) if low in schema else ("most", high)
            said.append(f"at {bound} {schema[value]:,}{unit}")
    if "enum" in schema:
        said.append("one of " + ", ".join(code(value) for value in schema["enum"]))
    if schema.get("x-printable"):
        said.append("printable")
    if "pattern" in schema:
        said.append(code(schema["pattern"]))
    return ", ".join(said)


def meaning_of(schema, schemas):
    """What a field says of itself, or the shared piece that it refers to; and its limits."""
    shared = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    text = schema.get("description", shared.get("description", ""))
    limits = limits_of(schema)
    return f"{text.rstrip('.')} ({limits})".strip() if limits else text


def rows_of(schema, schemas, prefix=""):
    """A row a field; the fields of an unnamed object follow it."""
    rows = []
    for name, child in schema.get("properties", {}).items():
        needed = "yes" if name in schema.get("required", []) else ""
        rows.append((code(prefix + name), kind_of(child), needed, meaning_of(child, schemas)))
        inner = child.get("items", child)
        if "$ref" not in inner:
            rows += rows_of(inner, schemas, f"{prefix}{name}{'[]' if 'items' in child else ''}.")
    return rows


def fields(schema, schemas):
    rows = rows_of(schema, schemas)
    return table(("field", "type", "needed", "what"), rows) if rows else ["It has no fields.", ""]


def examples(schema, title="For example:"):
    given = schema.get("examples")
    return [title, "", "```json", json.dumps(given[0], indent=2, ensure_ascii=False), "```",
            ""] if given else []


def said(schema):
    return schema.get("description", "")


def requests_of(contract, document):
    schemas, lines = document["components"]["schemas"], []
    for kind, title in KINDS.items():
        rows = [row for row in contract.requests if row["kind"] == kind]
        if rows:
            lines += [f"## {title}", "", KIND_TEXTS[kind], ""]
        for row in rows:
            request, reply = schemas[row["request"]], schemas[row["reply"]]
            lines += [f"### {row['subject']}", "",
                      f"**{request.get('title', row['request'])}.** {said(request)}", ""]
            if "account" in row:
                lines += [f"Also for one account, as `{row['account_subject']}`.", ""]
            lines += fields(request, schemas)
            lines += [f"The reply, **{reply.get('title', row['reply'])}**:", ""]
            lines += fields(reply, schemas)
            lines += examples(request) + examples(reply, "is answered by:")
    return lines


def leader_link(subject, leader, folder):
    """To the reference of the leading service, where it lies beside this one."""
    if (folder / f"{leader}.md").exists():
        return f"[{subject}]({leader}.md#{anchor(subject)})"
    return code(subject)


def events_of(contract, document, folder):
    schemas = document["components"]["schemas"]
    lines = ["## Events that it publishes", "",
             f"Into the stream `{contract.log}`, in the order of its log; nobody else may. "
             "Readers ignore fields that they do not know.", ""]
    for row in contract.events:
        schema = schemas[row["schema"]]
        lines += [f"### {row['subject']}", "", said(schema), ""] + fields(schema, schemas)
        lines += examples(schema)
    if contract.sources:
        lines += ["## Events that it reads", "",
                  "Each is folded into a projection, in order, once.", ""]
        lines += table(("subject", "led by", "it reacts"), [
            (leader_link(row["subject"], row["source"]["service"], folder),
             row["source"]["service"], "yes" if row["reacts"] else "")
            for row in contract.read_events()])
    if contract.calls:
        lines += ["## What it asks of others", ""]
        for row in sorted(contract.calls, key=lambda row: row["subject"]):
            request = schemas[row["request"]]
            lines += [f"### {row['subject']}", "", said(request), ""] + fields(request, schemas)
            lines += ["The reply:", ""] + fields(schemas[row["reply"]], schemas)
    return lines


def common_of(contract, document):
    schemas = document["components"]["schemas"]
    refusal = schemas[contract.refusal]
    lines = ["## Refusals", "", said(refusal),
             "More codes may come: who does not know one goes by its status.", ""]
    lines += table(("code", "status"), [(code(row["code"]), str(row["status"]))
                                        for row in contract.refusals])
    lines += examples(refusal)
    lines += ["## Headers", ""]
    for name, schema in schemas.items():
        if name.startswith("headers."):
            lines += [f"{schema['title']}:", ""] + table(("header", "needed", "what"), [
                (code(key), "yes" if key in schema.get("required", []) else "",
                 value["description"])
                for key, value in schema["properties"].items()])
    lines += ["## Shared pieces", ""]
    messages = document["components"]["messages"]
    for name, schema in schemas.items():
        if name in messages or name.startswith("headers."):
            continue
        limits = limits_of(schema)
        kind = kind_of(schema).capitalize() + (f": {limits}" if limits else "")
        lines += [f"### {name}", "", f"{kind}. {said(schema)}".rstrip(), ""]
        lines += fields(schema, schemas) if "properties" in schema else []
    return lines


def accounts_of(contract):
    """What holds for all subjects that name an account."""
    if not any("account" in row for row in contract.requests):
        return []
    return ["## Requests of one account", "",
            "A request that concerns one account is also answered on the subject that ends with "
            f"the account. NATS' permissions are by subject: who may publish `{contract.prefix}.*."
            "<account>` acts for that account and for no other. There", "",
            "- the body may leave the account out;",
            "- a body that names another account, and what belongs to another account, is "
            "`not_found`, as if it were not there;",
            "- an `Idempotency-Key` is that account's own: the same key of another account, or on "
            "the plain subject, is another key. It may be shorter by the length of the account.",
            "",
            "All other requests have no such subject: they are the shop's, or an operator's.", ""]


def contents_of(contract):
    lines = []
    for kind, title in KINDS.items():
        subjects = [row["subject"] for row in contract.requests if row["kind"] == kind]
        if subjects:
            lines.append(f"- {title}: "
                         + ", ".join(f"[{subject}](#{anchor(subject)})" for subject in subjects))
    if contract.events:
        lines.append("- Events: " + ", ".join(
            f"[{row['subject'].split('.', 2)[2]}](#{anchor(row['subject'])})"
            for row in contract.events))
    return lines + ["- [Refusals](#refusals), [headers](#headers), "
                    "[shared pieces](#shared-pieces)", ""]


def reference(contract, document, folder):
    """The whole text; folder is where it is to lie, beside the references of other services."""
    lines = [f"# {contract.name}", "",
             "<!-- Made by journey-asyncapi from what the service prints with --print-contract. "
             "Do not edit. -->", "", contract.description + ".", ""]
    lines += contents_of(contract) + accounts_of(contract) + requests_of(contract, document)
    lines += events_of(contract, document, folder) + common_of(contract, document)
    return "\n".join(lines).rstrip() + "\n"
