#!/usr/bin/env python3
"""Makes an AsyncAPI 3.0 document and a readable reference of one service, from schemas/ and from the
service's table of contents (service.c): requests with their replies, the events that it publishes, those
that it reads, and what it asks of others.
"""
import argparse
import copy
import json
import pathlib
import sys

from generate import c_name
from reference import reference
from service_table import Refused, Service, read_refusals

HERE = pathlib.Path(__file__).resolve().parent
QUEUE_GROUP = "q"
TEXT = {"type": "string", "minLength": 1, "maxLength": 496}
HEADERS = {                           # what stands in messages beside their body: title, schema of the headers
    "request": ("Headers of a request", {
        "Idempotency-Key": dict(TEXT, description="The same key gives the same answer and no second effect, for as long as "
                                "the log lives. Another body under it is a conflict. Commands want one."),
        "ce-correlationid": dict(TEXT, description="Goes into the events that follow, and into what follows from them; "
                                 "the first event's id when absent."),
        "traceparent": dict(TEXT, description="W3C trace context; goes the same way."),
    }, []),
    "refusal": ("Headers of a refusal", {
        "Nats-Service-Error-Code": {"type": "string", "description": "The status, e.g. 422."},
        "Nats-Service-Error": {"type": "string", "description": "The message of the body."},
    }, ["Nats-Service-Error-Code", "Nats-Service-Error"]),
    "event": ("Headers of an event: CloudEvents 1.0, NATS binding, binary mode", {
        "ce-specversion": {"type": "string", "enum": ["1.0"], "description": "CloudEvents."},
        "ce-id": {"type": "string", "description": "The event's id; Nats-Msg-Id is the same."},
        "ce-source": {"type": "string", "description": "The leading service: /order-svc."},
        "ce-type": {"type": "string", "description": "order.OrderPlaced.v1; another version when a reader would break."},
        "ce-subject": {"type": "string", "description": "The id of what it is about. Percent-encoded, as all values."},
        "ce-time": {"type": "string", "description": "RFC 3339, UTC."},
        "ce-datacontenttype": {"type": "string", "enum": ["application/json"], "description": "Of the body."},
        "ce-dataschema": {"type": "string", "description": "The id of the body's schema."},
        "ce-correlationid": {"type": "string", "description": "One customer's story has one, across services."},
        "ce-causationid": {"type": "string", "description": "The id of the event that this one follows from, or the "
                           "idempotency key of the request."},
        "Nats-Msg-Id": {"type": "string", "description": "ce-id."},
        "Journey-Position": {"type": "string", "pattern": "^[0-9]+$", "description": "In the leader's log: 1, 2, 3 … "
                             "without a gap. A reader applies its cursor + 1 and nothing else."},
        "Journey-Chain": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The hash over the chain before it and "
                          "this event: two logs agree up to a position exactly when their chains are equal there."},
        "Journey-Cause": {"type": "string", "description": "request/KEY or LOG/POSITION; absent for what follows from an "
                          "own event."},
        "Journey-Cause-Digest": {"type": "string", "description": "Of the request's subject and body, in hex."},
        "traceparent": {"type": "string", "description": "As it came with the request."},
    }, ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-correlationid", "Nats-Msg-Id",
        "Journey-Position", "Journey-Chain"]),
}


class Contracts:
    """The schema files, by their C name and by their name; and the pieces that they share."""

    def __init__(self, folders):
        self.files, self.by_c_name, self.shared = {}, {}, {}
        self.paths = sorted(path for folder in folders for path in folder.glob("*.json"))
        for path in self.paths:
            stem = path.name.removesuffix(".json")
            schema = json.loads(path.read_text(encoding="utf-8"))
            if stem in self.files and self.files[stem] != schema:
                raise Refused(f"{path}: another {path.name} says something else")
            self.files[stem] = schema
            self.by_c_name[c_name(stem)] = stem
            for name, piece in schema.get("$defs", {}).items():
                if self.shared.setdefault(name, piece) != piece:
                    raise Refused(f"{path}: another file has a {name} in its $defs that says something else")

    def stem(self, schema_name, wanted=None):
        """The file's name of a schema of the table; it must be the one that its subject says."""
        stem = self.by_c_name.get(schema_name)
        if stem is None:
            raise Refused(f"no schema file becomes {schema_name}_schema")
        if wanted and stem != wanted:
            raise Refused(f"{wanted} has the schema of {stem}")
        return stem

    def plain(self, schema):
        """The schema as AsyncAPI holds it: references lead into the document."""
        if isinstance(schema, list):
            return [self.plain(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        out = {}
        for key, value in schema.items():
            if key == "$ref":
                out[key] = "#/components/schemas/" + value.rpartition("/")[2]
            elif key == "examples":
                out[key] = copy.deepcopy(value)
            elif key not in ("$schema", "$id", "$defs"):
                out[key] = self.plain(value)
        return out


class Contract:
    """What a service answers, publishes, reads and asks: stems of schema files, in the table's order."""

    def __init__(self, service, contracts):
        self.service = service
        self.requests = []                         # (subject, kind, request, reply)
        for kind, rows in (("command", service.commands), ("query", service.queries)):
            for row in rows:
                subject = row["subject"]
                self.requests.append((subject, kind, contracts.stem(row["request"], subject),
                                      contracts.stem(row["reply"], subject + ".reply")))
        for stem in sorted(contracts.files):       # what the runtime answers for every service
            if stem.startswith("runtime.") and stem + ".reply" in contracts.files:
                subject = f"{service.prefix}.{stem.removeprefix('runtime.')}"
                self.requests.append((subject, "runtime", stem, stem + ".reply"))
        self.published = [self.event(contracts, service.prefix, row) for row in service.events]
        self.read = []                             # (subject, leading service, log, reaction or None)
        for source in service.sources:
            for row in source["rows"]:
                subject = self.event(contracts, source["prefix"], row)
                self.read.append((subject, source["service"], source["log"], row["react"]))
        self.calls = [(call["subject"], contracts.stem(call["schema"], call["subject"]),
                       contracts.stem(call["reply_schema"], call["subject"] + ".reply")) for call in service.calls]

    @staticmethod
    def event(contracts, prefix, row):
        return contracts.stem(row["schema"], f"evt.{prefix}.{row['type']}")

    def messages(self):
        """Every message once: {stem: kind of its headers, or None}."""
        found = {}
        for _, _, request, reply in self.requests:
            found.update({request: "request", reply: None, "error": "refusal"})
        found.update({subject: "event" for subject in self.published + [row[0] for row in self.read]})
        for _, request, reply in self.calls:
            found.update({request: None, reply: None})
        return found


# ---- The document --------------------------------------------------------------------------------------

def pointer(*parts):
    return {"$ref": "#/" + "/".join(parts)}


def message(contracts, stem, headers):
    schema = contracts.files[stem]
    out = {"name": stem, "title": schema["title"], "summary": schema["description"], "contentType": "application/json",
           "payload": pointer("components", "schemas", stem)}
    if headers:
        out["headers"] = pointer("components", "schemas", f"headers.{headers}")
    if headers in ("request", "event"):
        out["correlationId"] = {"location": "$message.header#/ce-correlationid"}
    if schema.get("examples"):
        out["examples"] = [{"payload": example} for example in schema["examples"]]
    return out


def used_schemas(contracts, stems):
    """The schemas of these messages and, after them, the shared pieces that they reach."""
    found = {stem: contracts.plain(contracts.files[stem]) for stem in stems}
    waiting, pieces = list(found.values()), {}
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in pieces:
                if name not in contracts.shared:
                    raise Refused(f"no schema file has {name} in its $defs")
                pieces[name] = contracts.plain(contracts.shared[name])
                waiting.append(pieces[name])
            waiting += [value for key, value in part.items() if key != "examples"]
    return {**found, **dict(sorted(pieces.items()))}


def channel(address, stems, description):
    return {"address": address, "description": description,
            "messages": {stem: pointer("components", "messages", stem) for stem in stems}}


def operation(action, subject, stems, title, summary, tag):
    return {"action": action, "channel": pointer("channels", subject), "title": title, "summary": summary,
            "tags": [{"name": tag}], "messages": [pointer("channels", subject, "messages", stem) for stem in stems]}


def reply_to(name, stems):
    return {"channel": pointer("channels", name), "messages": [pointer("channels", name, "messages", stem) for stem in stems]}


def operations_of(contract, contracts):
    """Channels and operations, by subject."""
    channels, operations = {}, {}

    def add(action, name, subject, request, reply, tag, description, refusable):
        schema = contracts.files[request]
        replies = [reply] + (["error"] if refusable else [])
        channels[subject] = channel(subject, [request], description)
        channels[subject + ".reply"] = channel(None, replies, "The requester's inbox, _INBOX.…: nothing else is answered to.")
        operations[name] = operation(action, subject, [request], schema["title"], schema["description"], tag)
        operations[name]["reply"] = reply_to(subject + ".reply", replies)
    for subject, kind, request, reply in contract.requests:
        add("receive", subject, subject, request, reply, kind, "A request over core NATS; a JSON body of up to 64 KiB.", True)
        operations[subject]["bindings"] = {"nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}}
    for subject, request, reply in contract.calls:
        add("send", subject, subject, request, reply, "call", "Asked over core NATS of whoever answers it.", False)
    service = contract.service
    for subject in contract.published:
        schema = contracts.files[subject]
        channels[subject] = channel(subject, [subject], f"In the stream {service.log}, led by {service.name}, in the order of its log.")
        operations["publish." + subject] = operation("send", subject, [subject], schema["title"], schema["description"],
                                                     "event")
    for subject, leader, log, react in contract.read:
        schema = contracts.files[subject]
        summary = "Folded into a projection" + (f", and reacted to ({react})." if react else ".")
        channels[subject] = channel(subject, [subject], f"In the stream {log}, led by {leader}, in the order of its log.")
        operations["read." + subject] = operation("receive", subject, [subject], schema["title"], summary, "projection")
    return channels, operations


def document(contract, contracts, version):
    service = contract.service
    channels, operations = operations_of(contract, contracts)
    messages = contract.messages()
    schemas = used_schemas(contracts, messages)
    for name, (title, properties, required) in HEADERS.items():
        schemas[f"headers.{name}"] = {"type": "object", "title": title, "properties": properties, "required": required}
        if not required:
            del schemas[f"headers.{name}"]["required"]
    return {
        "asyncapi": "3.0.0",
        "id": f"urn:journey-mesh:{service.name}",
        "info": {"title": service.name, "version": version, "description": service.description + "."},
        "defaultContentType": "application/json",
        "servers": {"mesh": {"host": "{host}:{port}", "protocol": "nats", "description": "A NATS server with JetStream.",
                             "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}}}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": {stem: message(contracts, stem, headers) for stem, headers in messages.items()},
                       "schemas": schemas},
    }


# ---- The command -----------------------------------------------------------------------------------------

def write_depfile(path, target, paths):
    escaped = " ".join(str(p.resolve()).replace(" ", "\\ ") for p in paths)
    path.write_text(f"{target}: {escaped}\n", encoding="utf-8")


def check_markdown(path, text):
    """0 when the file is what would be written."""
    have = path.read_text(encoding="utf-8") if path.exists() else None
    if have == text:
        return 0
    print(f"{path}: {'is stale' if have else 'is missing'}; make it with --markdown {path}", file=sys.stderr)
    return 1


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("service", type=pathlib.Path, help="the service's folder, with its service.c")
    parser.add_argument("--schemas", type=pathlib.Path, action="append", metavar="FOLDER",
                        help="a folder of schema files; this one. Repeat it for more")
    parser.add_argument("--refusals", type=pathlib.Path, default=HERE.parent / "common" / "base" / "refusal.c",
                        help="the source with the codes of refusals; that of this tree")
    parser.add_argument("--contract-version", default="0.0.0", metavar="VERSION", help="what the document says its version is")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the AsyncAPI document")
    parser.add_argument("--depfile", type=pathlib.Path, metavar="FILE", help="write what the document was made from, for ninja")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="write the reference")
    parser.add_argument("--check", type=pathlib.Path, metavar="FILE",
                        help="fail unless FILE is the reference as it would be written")
    options = parser.parse_args(arguments)
    try:
        contracts = Contracts(options.schemas or [HERE])
        contract = Contract(Service(options.service), contracts)
        refusals = read_refusals(options.refusals) + read_refusals(options.service / "service.c")
        codes = contracts.files["error"]["properties"]["error"]["properties"]["code"]["enum"]
        if not {code for code, _ in refusals} <= set(codes):
            raise Refused(f"{options.refusals} has codes that error.json does not have")
        refusals.sort(key=lambda refusal: codes.index(refusal[0]))
        made = document(contract, contracts, options.contract_version)
        text = reference(contract, made, refusals)
    except (Refused, OSError, ValueError, KeyError) as error:
        sys.exit(f"asyncapi.py: {error if not isinstance(error, KeyError) else f'{error} is missing in a schema file'}")
    if options.json:
        options.json.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.depfile:
        write_depfile(options.depfile, options.json, contract.service.paths + contracts.paths)
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(text, encoding="utf-8")
    return check_markdown(options.check, text) if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
