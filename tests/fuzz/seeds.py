#!/usr/bin/env python3
"""seeds.py - make the first inputs of the fuzz targets, and a dictionary for them

USAGE
    tests/fuzz/seeds.py CORPUS [--dictionary FILE] [--help]

WHAT IT DOES
    Writes into CORPUS/requests, envelope, events, jetstream and patterns what can be made from the
    examples in schemas/. Files that stand there already under other names stay, whatever they hold.
    The same schemas give the same files.

OPTIONS
    --dictionary FILE   also writes the words that a fuzzer should know (libFuzzer's format)
    --help              this text

EXIT CODES
    0  written      2  usage
"""
import argparse
import base64
import hashlib
import json
import os
import re
import struct
import sys

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../schemas")
ID = "019abc12-3456-7def-8123-456789abcdef"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DIGEST = hashlib.sha256(b"a request").hexdigest()
TIME_MS = 1795412400123
TEXTS = ["", "%", "%41", "J\u00f6rg", "\u20ac", "\U0001f600", " around ", "a\r\nce-id: evil",
         "\x01", "\x7f", "a" * 512, "a" * 513,
         "2026-11-23T05:40:00.123Z", "2026-02-30", "tok_ok", "0000", "ada@example.org", "@", "EUR",
         "DE"]


def read_schemas():
    """(name, schema) of each contract, in the order of their names."""
    paths = []
    for folder in (SCHEMAS, os.path.join(SCHEMAS, "nats")):
        paths += [os.path.join(folder, name) for name in os.listdir(folder)
                  if name.endswith(".json")]
    for path in sorted(paths):
        name = os.path.basename(path)[:-len(".json")]
        if name != "common":
            with open(path, encoding="utf-8") as file:
                yield name, json.load(file)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def texts_of(value):
    """Every text in a value, keys left out."""
    if isinstance(value, str):
        yield value
    inside = value.values() if isinstance(value, dict) else value
    for inner in inside if isinstance(value, (dict, list)) else ():
        yield from texts_of(inner)


def words_of(schema):
    """Names of properties and listed values, wherever they are."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for value in schema.get("enum", ()) if isinstance(schema.get("enum"), list) else ():
            yield str(value)
        for inner in schema.values():
            yield from words_of(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from words_of(inner)


def header_block(prefix, kind, position, cause=None):
    chain = hashlib.sha256(b"%d" % position).hexdigest()
    headers = {
        "ce-specversion": "1.0", "ce-id": ID, "ce-source": f"/{prefix}-svc",
        "ce-type": f"{prefix}.{kind}.v1",
        "ce-subject": "ord_" + ID, "ce-time": "2026-11-23T05:40:00.123Z",
        "ce-datacontenttype": "application/json",
        "ce-dataschema": f"https://journey-mesh.example/schemas/evt.{prefix}.{kind}.json",
        "Nats-Msg-Id": ID,
        "Nats-Expected-Last-Sequence": str(position - 1), "Journey-Position": str(position),
        "Journey-Chain": chain,
    }
    if cause:
        headers.update({"ce-correlationid": ID, "ce-causationid": "key%201", "Journey-Cause": cause,
                        "Journey-Cause-Digest": DIGEST, "traceparent": TRACE})
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def requests(schemas):
    for name, schema in schemas:
        for i, example in enumerate(schema.get("examples", ()), 1):
            yield f"{name}-{i}", name.encode() + b"\n" + compact(example)
    yield "too-large-for-c", b'js_pub_ack\n{"error":{"code":' + b"1" * 55 + b".0}}"


def envelope(schemas):
    position = 0
    for name, schema in schemas:
        if name.startswith("evt."):
            _, prefix, kind = name.split(".")
            position += 1
            cause = None if position % 2 else "request/key%201" if position % 4 else "ORDER/17"
            headers = header_block(prefix, kind, position, cause)
            yield name, name.encode() + b"\n" + headers + compact(schema["examples"][0])
    yield "status", b"_INBOX.x\nNATS/1.0 404 No Messages\r\n\r\n"
    yield "no-headers", b"evt.order.OrderPaid\nNATS/1.0\r\n\r\n{}"


def events(schemas):
    yield "least-position", struct.pack("<qq", -2**63, -2**63) + b"\0" * 8
    for i, text in enumerate(TEXTS):
        texts = [ID, "OrderPlaced", "ord_" + ID, text, "key 1", "request/" + text,
                 DIGEST if i % 2 else "", TRACE if i % 3 else ""]
        joined = b"".join(t.encode() + b"\0" for t in texts)
        yield f"text-{i}", struct.pack("<qq", i + 1, TIME_MS + i) + joined + b'{"a":1}'
    for name, schema in schemas:
        if name.startswith("evt."):
            texts = [ID, name.split(".")[2], "ord_" + ID, "", "", "", "", ""]
            joined = b"".join(t.encode() + b"\0" for t in texts)
            yield name, struct.pack("<qq", 1, TIME_MS) + joined + compact(schema["examples"][0])


def jetstream(schemas):
    letters = {"js_pub_ack": "a", "js_stream_info": "s", "js_consumer_info": "c", "js_message": "m",
               "js_done": "d"}
    for name, schema in schemas:
        for i, example in enumerate(schema["examples"] if name in letters else (), 1):
            yield f"{name}-{i}", letters[name].encode() + compact(example)
    yield "error-without-code", b'c{"error":{"description":"consumer not found"}}'
    for name, schema in schemas:
        if name.startswith("evt.order."):
            kind = name.split(".")[2]
            headers = header_block("order", kind, 3, "request/a")
            message = {"subject": name, "seq": 3, "hdrs": base64.b64encode(headers).decode(),
                       "data": base64.b64encode(compact(schema["examples"][0])).decode(),
                       "time": "2026-11-23T05:40:00.123456789Z"}
            yield name, b"m" + compact({"type": "io.nats.jetstream.api.v1.stream_msg_get_response",
                                        "message": message})
    yield "delivery-old", b"r$JS.ACK.ORDER.account-svc.1.42.40.1795412400123456789.7"
    yield "delivery-new", b"r$JS.ACK._.hash.ORDER.account-svc.1.42.40.1795412400123456789.7"
    yield ("delivery-token",
           b"r$JS.ACK.hub.hash.ORDER.account-svc.1.42.40.1795412400123456789.7.Xy12")


def patterns(schemas):
    texts = {text for _, schema in schemas for text in texts_of(schema.get("examples", []))
             if len(text.encode()) <= 80}
    for text in sorted(texts | set(TEXTS)):
        data = text.encode()
        if data:
            yield hashlib.sha256(data).hexdigest()[:12], data


def dictionary(schemas):
    words = {word for _, schema in schemas for word in words_of(schema)}
    entries = {f'"{word}":' for word in words} | words | {name + "\n" for name, _ in schemas}
    entries |= set(re.findall(r"^[\w-]+(?=: )", header_block("order", "OrderPaid", 2, "a").decode(),
                              re.M))
    entries |= {"\r\n", "\r\n\r\n", "NATS/1.0\r\n", "null", "true", "1.0", "1e0", "-0",
                "9007199254740993", "9223372036854775807",
                "\\u0000", "\\ud800", "\\ud83d\\ude00", "%00", "%e2%82%ac", "$JS.ACK.", "e30=", ID,
                "acc_" + ID, TRACE, DIGEST}
    for entry in sorted(entries):
        yield '"' + "".join(chr(c) if 0x20 <= c < 0x7f and c not in b'"\\' else f"\\x{c:02x}"
                            for c in entry.encode()) + '"\n'


def main():
    parser = argparse.ArgumentParser(usage="tests/fuzz/seeds.py CORPUS [--dictionary FILE], see "
                                           "--help", add_help=False)
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--dictionary")
    parser.add_argument("-h", "--help", action="store_true")
    options = parser.parse_args()
    if options.help:
        print(__doc__.strip())
        return 0
    if not options.corpus:
        parser.error("CORPUS is missing")
    schemas = list(read_schemas())
    for target in (requests, envelope, events, jetstream, patterns):
        folder = os.path.join(options.corpus, target.__name__)
        os.makedirs(folder, exist_ok=True)
        for name, data in target(schemas):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
    if options.dictionary:
        with open(options.dictionary, "w", encoding="ascii") as file:
            file.writelines(dictionary(schemas))
    return 0


if __name__ == "__main__":
    sys.exit(main())
