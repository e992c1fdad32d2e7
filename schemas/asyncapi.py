"""AsyncAPI: the contract of a service as an AsyncAPI 3.0 document. Used by journey-asyncapi."""
import copy

from contract import Refused

QUEUE_GROUP = "q"
TEXT = {"type": "string", "minLength": 1, "maxLength": 496}


def plain_text(description, **more):
    return {"type": "string", **more, "description": description}


# What stands in messages beside their body: title, schema of the headers, those that are needed.
HEADERS = {
    "request": ("Headers of a request", {
        "Idempotency-Key": dict(TEXT, description=(
            "The same key gives the same answer and no second effect, for as long as the log "
            "lives; a refusal for 7 days, unless --refusals-keep-hours says otherwise. Another "
            "body under it is a conflict. Commands want one.")),
        "ce-correlationid": dict(TEXT, description=(
            "Goes into the events that follow, and into what follows from them; the first event's "
            "id when absent.")),
        "traceparent": dict(TEXT, description="W3C trace context; goes the same way."),
    }, []),
    "refusal": ("Headers of a refusal", {
        "Nats-Service-Error-Code": plain_text("The status, e.g. 422."),
        "Nats-Service-Error": plain_text("The message of the body."),
    }, ["Nats-Service-Error-Code", "Nats-Service-Error"]),
    "event": ("Headers of an event: CloudEvents 1.0, NATS binding, binary mode", {
        "ce-specversion": plain_text("CloudEvents.", enum=["1.0"]),
        "ce-id": plain_text("The event's id, a UUID."),
        "ce-source": plain_text("The leading service: /order-svc."),
        "ce-type": plain_text("order.OrderPlaced.v1; another version when a reader would break."),
        "ce-subject": plain_text("The id of what it is about. Percent-encoded, as all values."),
        "ce-time": plain_text("RFC 3339, UTC."),
        "ce-datacontenttype": plain_text("Of the body.", enum=["application/json"]),
        "ce-correlationid": plain_text("One customer's story has one, across services."),
        "ce-causationid": plain_text("The id of the event that this one follows from, or the "
                                     "idempotency key of the request."),
        "Journey-Position": plain_text(
            "In the leader's log: 1, 2, 3 … without a gap. A reader applies its cursor + 1 and "
            "nothing else.", pattern="^[0-9]+$"),
        "Journey-Chain": plain_text(
            "The hash over the chain before it and this event: two logs agree up to a position "
            "exactly when their chains are equal there. base64url; in hex in events of 0.1.",
            pattern="^([A-Za-z0-9_-]{43}|[0-9a-f]{64})$"),
        "Journey-Term": plain_text(
            "The term of the leader who decided it: the newest TermBegan at or before its position "
            "says so. Absent before the first. A lower one behind a higher TermBegan is void.",
            pattern="^[0-9]+$"),
        "Journey-Cause": plain_text(
            "request.ACCOUNT/KEY or LOG/POSITION/ID; absent for what follows from an own event, "
            "and where it is request/ and ce-causationid, beside a digest."),
        "Journey-Cause-Digest": plain_text("Of the request's subject and body, as Journey-Chain."),
        "traceparent": plain_text("As it came with the request."),
    }, ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time",
        "ce-correlationid", "Journey-Position", "Journey-Chain"]),
}


class Pieces:
    """What several messages share, each under one name: the $defs of all schemas, put together."""

    def __init__(self):
        self.found = {}                # name in the document -> (what it means, the piece)
        self.names = {}                # (message, name in its $defs) -> name in the document

    def add(self, message, schema):
        defs = schema.get("$defs", {})
        for name in defs:
            meaning = self.meaning(defs[name], defs, message)
            known = self.found.get(name)
            here = name
            if known and known[0] != meaning:
                # The runtime's pieces are not the service's; they come after them.
                if not message.startswith("runtime."):
                    raise Refused(f"{message}: its {name} is not that of other messages")
                here = f"runtime.{name}"
            self.names[message, name] = here
            self.found.setdefault(here, (meaning, (message, defs[name])))

    def meaning(self, part, defs, message):
        """The piece with every reference replaced by what it leads to."""
        if isinstance(part, list):
            return [self.meaning(child, defs, message) for child in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            if name not in defs:
                raise Refused(f"{message}: it has no {name} in its $defs")
            return self.meaning(defs[name], defs, message)
        return {key: self.meaning(value, defs, message) for key, value in part.items()}

    def plain(self, part, message):
        """A schema as AsyncAPI holds it: references lead into the document."""
        if isinstance(part, list):
            return [self.plain(child, message) for child in part]
        if not isinstance(part, dict):
            return part
        out = {}
        for key, value in part.items():
            if key == "$ref":
                name = value.rpartition("/")[2]
                if (message, name) not in self.names:
                    raise Refused(f"{message}: it has no {name} in its $defs")
                out[key] = "#/components/schemas/" + self.names[message, name]
            elif key == "examples":
                out[key] = copy.deepcopy(value)
            elif key not in ("$schema", "$id", "$defs"):
                out[key] = self.plain(value, message)
        return out

    def document(self):
        return {name: self.plain(piece, message)
                for name, (_, (message, piece)) in sorted(self.found.items())}


def messages_of(contract):
    """Every message once: {name: kind of its headers, or None}."""
    found = {}
    for row in contract.requests:
        found.update({row["request"]: "request", row["reply"]: None, contract.refusal: "refusal"})
    found.update({row["schema"]: "event" for row in contract.events + contract.read_events()})
    for row in contract.calls:
        found.update({row["request"]: None, row["reply"]: None})
    return found


def with_codes(schema, codes):
    """The schema of a refusal, with the codes that this service has."""
    out = copy.deepcopy(schema)
    code = out["properties"]["error"]["properties"]["code"]
    description = code.pop("description", None)
    code["enum"] = codes
    if description:
        code["description"] = description
    return out


def schemas_of(contract, messages):
    """The schemas of the messages and, after them, the pieces that they share."""
    pieces = Pieces()
    own = [name for name in messages if not name.startswith("runtime.")]
    for name in own + [name for name in messages if name not in own]:
        pieces.add(name, contract.schemas[name])
    found = {name: pieces.plain(contract.schemas[name], name) for name in messages}
    if contract.refusal in found:
        found[contract.refusal] = with_codes(found[contract.refusal],
                                             [row["code"] for row in contract.refusals])
    return {**found, **pieces.document()}


# ---- The document --------------------------------------------------------------------------------

def pointer(*parts):
    return {"$ref": "#/" + "/".join(parts)}


def message(contract, name, headers):
    schema = contract.schemas[name]
    out = {"name": name, "title": schema.get("title", name),
           "summary": schema.get("description", ""), "contentType": "application/json",
           "payload": pointer("components", "schemas", name)}
    if headers:
        out["headers"] = pointer("components", "schemas", f"headers.{headers}")
    if headers in ("request", "event"):
        out["correlationId"] = {"location": "$message.header#/ce-correlationid"}
    if schema.get("examples"):
        out["examples"] = [{"payload": example} for example in schema["examples"]]
    return out


def channel(address, names, description):
    return {"address": address, "description": description,
            "messages": {name: pointer("components", "messages", name) for name in names}}


def operation(action, subject, names, title, summary, tag):
    return {"action": action, "channel": pointer("channels", subject), "title": title,
            "summary": summary, "tags": [{"name": tag}],
            "messages": [pointer("channels", subject, "messages", name) for name in names]}


def reply_to(subject, names):
    return {"channel": pointer("channels", subject),
            "messages": [pointer("channels", subject, "messages", name) for name in names]}


class Operations:
    """Channels and operations, by subject."""

    def __init__(self, contract):
        self.contract = contract
        self.channels, self.operations = {}, {}
        kib = contract.data["limits"]["request_bytes_max"] // 1024
        for row in contract.requests:
            self.add_request("receive", row, row["kind"],
                             f"A request over core NATS; a JSON body of up to {kib} KiB.",
                             [row["reply"], contract.refusal])
            self.bind(row["subject"])
            if "account" in row:
                self.add_for_account(row)
        for row in sorted(contract.calls, key=lambda row: row["subject"]):
            self.add_request("send", row, "call", "Asked over core NATS of whoever answers it.",
                             [row["reply"]])
        for row in contract.events:
            self.add_event("send", "publish.", row, contract.log, contract.name, "event",
                           self.schema(row["schema"]).get("description", ""))
        for row in contract.read_events():
            reacts = ", and reacted to." if row["reacts"] else "."
            self.add_event("receive", "read.", row, row["source"]["log"], row["source"]["service"],
                           "projection", "Folded into a projection" + reacts)

    def schema(self, name):
        return self.contract.schemas[name]

    def add_request(self, action, row, tag, description, replies):
        subject, schema = row["subject"], self.schema(row["request"])
        self.channels[subject] = channel(subject, [row["request"]], description)
        self.channels[subject + ".reply"] = channel(
            None, replies, "The requester's inbox: a subject under _INBOX, or under a prefix of "
                "--reply-prefix. Nothing else is answered to.")
        self.operations[subject] = operation(action, subject, [row["request"]],
                                             schema.get("title", subject),
                                             schema.get("description", ""), tag)
        self.operations[subject]["reply"] = reply_to(subject + ".reply", replies)

    def bind(self, name):
        self.operations[name]["bindings"] = {
            "nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}}

    def add_for_account(self, row):
        """The same request on the subject of an account, with the same replies."""
        subject, account = row["subject"], row["account"]
        name, plain = subject + ".account", self.operations[subject]
        self.channels[name] = channel(row["account_subject"], [row["request"]], (
            f"{subject} for whoever may act for that account only: the body may leave {account} "
            "out, and what is another account's is not_found. Idempotency keys are that account's "
            "own."))
        self.channels[name]["parameters"] = {account: {
            "description": "Whom the request is for; permissions by subject say who may ask."}}
        self.operations[name] = operation("receive", name, [row["request"]], plain["title"],
                                          plain["summary"], row["kind"])
        self.operations[name]["reply"] = copy.deepcopy(plain["reply"])
        self.bind(name)

    def add_event(self, action, before, row, log, leader, tag, summary):
        subject, schema = row["subject"], self.schema(row["schema"])
        self.channels[subject] = channel(
            subject, [row["schema"]],
            f"In the stream {log}, led by {leader}, in the order of its log.")
        self.operations[before + subject] = operation(action, subject, [row["schema"]],
                                                      schema.get("title", subject), summary, tag)


def document(contract):
    messages = messages_of(contract)
    schemas = schemas_of(contract, messages)
    operations = Operations(contract)
    for name, (title, properties, required) in HEADERS.items():
        schemas[f"headers.{name}"] = {"type": "object", "title": title, "properties": properties,
                                      "required": required}
        if not required:
            del schemas[f"headers.{name}"]["required"]
    return {
        "asyncapi": "3.0.0",
        "id": f"urn:journey-mesh:{contract.name}",
        "info": {"title": contract.name, "version": contract.version,
                 "description": contract.description + "."},
        "defaultContentType": "application/json",
        "servers": {"mesh": {
            "host": "{host}:{port}", "protocol": "nats",
            "description": "A NATS server with JetStream.",
            "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}}}},
        "channels": operations.channels,
        "operations": operations.operations,
        "components": {"messages": {name: message(contract, name, headers)
                                    for name, headers in messages.items()},
                       "schemas": schemas},
    }
