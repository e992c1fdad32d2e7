"""events.py - what a message of a leader's stream says, and what it is for a reader

The rules of docs/PROTOCOL.md, without any I/O: M of messages, C of the canonical form and the
chain, R of readers. test_vectors.py holds this file to schemas/vectors.
"""
import base64
import collections
import datetime
import hashlib
import json
import re
import struct
import urllib.parse

FIELDS = ("log", "position", "id", "type", "entity", "time_ms", "correlation", "causation", "cause",
          "cause_digest", "traceparent", "data")
NEEDED = ("ce-id", "ce-specversion", "ce-source", "ce-type", "ce-subject", "ce-time",
          "ce-datacontenttype", "journey-position", "journey-chain")
OPTIONAL = {"ce-correlationid": "correlation", "ce-causationid": "causation",
            "journey-cause": "cause", "journey-cause-digest": "cause_digest",
            "traceparent": "traceparent", "journey-term": "term"}

Leader = collections.namedtuple("Leader", "log service prefix")     # ORDER, order-svc, order
Cursor = collections.namedtuple("Cursor", "position chain term")
BEGINNING = Cursor(0, "0" * 64, 0)


class Stranger(Exception):
    """A message that is no event of the leader; says which header is wrong."""


# ---- Messages (M) and the chain (C) --------------------------------------------------------------

def check(is_right, header):
    if not is_right:
        raise Stranger(header)


def time_ms(text):
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        raise Stranger("ce-time") from None
    check(len(text) == 24, "ce-time")
    return round((moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(milliseconds=1))


def read_headers(pairs):
    values = {}
    for key, text in pairs:
        key = key.lower()                                       # M2: any case
        if key not in NEEDED and key not in OPTIONAL and key != "nats-msg-id":
            continue
        check(key not in values, key)
        check(re.fullmatch(r"([!#$&-~]|%(?!00)[0-9A-Fa-f]{2})+", text), key)    # M3
        try:
            values[key] = urllib.parse.unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise Stranger(key) from None
    for key in NEEDED:
        check(key in values, key)
    return values


def digest(text, header):
    """M5: in hex, whichever way it came."""
    if re.fullmatch("[0-9a-f]{64}", text):
        return text
    check(re.fullmatch("[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", text), header)
    return base64.urlsafe_b64decode(text + "=").hex()


def decode(leader, subject, pairs, data):
    """The event of a message, as a dict of FIELDS, with its `chain` and `term`; or Stranger."""
    h = read_headers(pairs)
    check(subject.startswith(f"evt.{leader.prefix}."), "subject")      # M4
    kind = subject[len(f"evt.{leader.prefix}."):]
    check(h["ce-specversion"] == "1.0", "ce-specversion")
    check(h["ce-datacontenttype"] == "application/json", "ce-datacontenttype")
    check(h["ce-source"] == f"/{leader.service}", "ce-source")
    check(h["ce-type"] == f"{leader.prefix}.{kind}" + ("" if "." in kind else ".v1"), "ce-type")
    check(h.get("nats-msg-id", h["ce-id"]) == h["ce-id"], "nats-msg-id")        # M9
    check(re.fullmatch("[1-9][0-9]{0,18}", h["journey-position"]), "journey-position")
    check(re.fullmatch("[1-9][0-9]{0,18}", h.get("journey-term", "1")), "journey-term")
    for key in ("journey-chain", "journey-cause-digest"):
        if key in h:
            h[key] = digest(h[key], key)
    if "journey-cause-digest" in h and "journey-cause" not in h:                # M8
        check("ce-causationid" in h, "journey-cause-digest")
        h["journey-cause"] = "request/" + h["ce-causationid"]
    check(data and "\0" not in data, "data")
    event = {name: h[key] for key, name in OPTIONAL.items() if key in h}
    event.update(log=leader.log, position=int(h["journey-position"]), id=h["ce-id"], type=kind,
                 entity=h["ce-subject"], time_ms=time_ms(h["ce-time"]), data=data,
                 chain=h["journey-chain"], term=int(h.get("journey-term", 0)))
    return event


def canonical(event):
    """C1: each field's length and bytes."""
    form = b""
    for name in FIELDS:
        text = None if event.get(name) is None else str(event[name]).encode()
        form += b"\xff\xff\xff\xff" if text is None else struct.pack(">I", len(text)) + text
    return form


def chain_after(chain, event):
    digest = hashlib.sha256(canonical(event)).digest()
    return hashlib.sha256(bytes.fromhex(chain) + digest).hexdigest()


# ---- A reader (R) --------------------------------------------------------------------------------

def term_after(term, event):
    """R6: a TermBegan says its own term, which is a higher one."""
    begun = json.loads(event["data"])["term"] if event["type"] == "TermBegan" else 0
    return max(term, begun)


def fit(cursor, event):
    """What a message of the stream is for a reader that stands at this cursor."""
    position, term = event["position"], event["term"]
    if position > cursor.position and 0 < term < cursor.term:
        return "void"                                           # R5
    if position < cursor.position or (position, event["chain"]) == cursor[:2]:
        return "repeat"                                         # R3
    if position > cursor.position + 1:
        return "gap"                                            # R7
    if position == cursor.position or chain_after(cursor.chain, event) != event["chain"]:
        return "does_not_follow"                                # R8
    if cursor.term and term != term_after(cursor.term, event):
        return "does_not_follow"                                # R6
    return "applied"


def moved(cursor, event):
    return Cursor(event["position"], event["chain"],
                  term_after(cursor.term or event.get("term", 0), event))
