"""Streams: the events of all services, read from their streams through the nats CLI."""
import base64
import datetime
import json
import os
import select
import subprocess
import urllib.parse

from journey import ROOT
from journey.headers import cause_of
from journey.meshview import Mesh
from journey.patience import far

SILENT_S = 30                   # a server that sends nothing for so long within a stream has failed
IDS = ("order_id", "account_id", "card_id", "next_card_id")
NEEDED = {                      # the fields that scripts/timeline reads of an event
    "OrderPlaced": ("order_id", "account_id", "card_id", "pay_until", "lines", "total"),
    "PaymentFailed": ("order_id", "account_id", "card_id", "reason", "attempt"),
    "OrderPaid": ("order_id", "card_id", "attempt"), "OrderCancelled": ("order_id", "reason"),
    "CardAdded": ("card_id", "brand"), "CardRemoved": ("card_id",),
    "CardDeclined": ("card_id", "order_id", "reason"),
}


def time_ms(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


class Unreadable(Exception):
    """The streams cannot be read."""


class StreamEvent:
    """One event, decoded from its message in the stream."""

    def __init__(self, message):
        headers = {key.lower(): urllib.parse.unquote(values[0])
                   for key, values in (message["Header"] or {}).items()}
        prefix, self.type = message["Subject"].split(".", 2)[1:]
        self.log = message["Reply"].split(".")[2]
        self.position = int(headers["journey-position"])
        self.service = headers["ce-source"].lstrip("/")
        self.id, self.entity = headers["ce-id"], headers["ce-subject"]
        self.correlation = headers["ce-correlationid"]
        self.causation = headers.get("ce-causationid")
        self.cause = cause_of(headers)
        self.traceparent = headers.get("traceparent")
        self.time_ms = time_ms(headers["ce-time"])
        self.value = json.loads(base64.b64decode(message["Data"]))
        version = "" if "." in self.type else ".v1"
        if headers["ce-type"] != f"{prefix}.{self.type}{version}" or \
                not isinstance(self.value, dict):
            raise ValueError(f"ce-type {headers['ce-type']!r} or its data does not fit its subject")
        for key in NEEDED.get(self.type, ()):
            if key not in self.value:
                raise ValueError(f"its data has no {key}")
        for key in IDS:
            if not isinstance(self.value.get(key, ""), str):
                raise ValueError(f"{key} in its data is not a string")
        self.place = f"{self.log} {self.position}"
        self.from_event = None                    # its cause, when that is an event of the story
        self.waited_for = None                    # the event that had to come first besides
        self.meaning = None                       # as the contract of its service describes it

    def request_key(self):
        """The idempotency key, of a plain request (request/KEY) or of an account's
        (request.ACCOUNT/KEY); None: no request, or one without a key."""
        if (self.cause or "").startswith(("request/", "request.")):
            return self.cause.split("/", 1)[1]
        return None

    def is_about(self, ids):
        return self.entity in ids or \
            any(self.value.get(key) in ids for key in ("order_id", "account_id"))


class Streams(Mesh):
    """The streams of a local mesh; folder None: of the server that the environment names."""
    meaning = {}                                  # of a server alone no contract is known

    def __init__(self, folder):
        if folder:
            super().__init__(folder)
        else:
            self.environment, self.calls, self.is_secure = dict(os.environ), 0, False
            tools = os.path.join(ROOT, ".tools", "bin")
            self.environment["PATH"] = tools + os.pathsep + os.environ["PATH"]
        self.read = {}                            # log -> (first, last) position that was read
        self.complaints = {}                      # what could not be read, in order, each once

    def names(self):
        """The streams that can be looked at; in a secure mesh those of its services."""
        if self.is_secure:
            return list(self.service)
        return json.loads(self.nats("stream", "ls", "--names", "--json")) or []

    def logs(self):
        """The streams that hold events of a service."""
        found = []
        for name in self.names():
            info = self.stream_info(name)
            if any(subject.startswith("evt.") for subject in info["config"].get("subjects", [])):
                found.append((name, info["state"]["messages"]))
        return found

    def events(self):
        """Yields all events, because a stream may be too large for a list."""
        for log, count in self.logs():
            last = found = 0
            for message in self.messages(log) if count else ():
                found += 1
                try:
                    event = StreamEvent(message)
                except (KeyError, IndexError, TypeError, ValueError) as error:
                    what = (f"a message on {message['Subject']!r} is not an event of a service "
                            f"({error!r})")
                    self.complaints[f"{log}: {what}"] = 1
                    continue
                event.meaning = self.meaning.get((log, event.type))
                if event.position <= last:        # a repeat, which a stream may have
                    continue
                if event.position > last + 1:
                    missing = f"{last + 1} to {event.position - 1}"
                    self.complaints[f"{log}: the positions {missing} are not in the stream"] = 1
                first = self.read.get(log, (event.position,))[0]
                last = event.position
                self.read[log] = first, max(last, self.read.get(log, (0, 0))[1])
                yield event
            if found < count:                     # a replica of a cluster may be behind
                what = f"{found} of the {count} messages were read: the server's copy is behind"
                self.complaints[f"{log}: {what}"] = 1

    def messages(self, log):
        command = ["nats", "subscribe", "--stream", log, "--all", "--terminate-at-end", "--dump=-"]
        with subprocess.Popen(command, env=self.account_of(log), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            rest, block = b"", b" "
            while block:
                if not select.select([process.stdout], [], [], far(SILENT_S))[0]:
                    process.kill()
                    raise Unreadable(
                        f"stream {log}: the server sent nothing for {far(SILENT_S):.0f} s")
                block = process.stdout.read1(1 << 20)
                *parts, rest = (rest + block).split(b"\0")
                yield from (json.loads(part) for part in parts if part.strip())
            said = process.stderr.read().decode(errors="replace").strip()
        if process.returncode != 0:
            raise Unreadable(f"stream {log}: {said}")
        if rest.strip():
            yield json.loads(rest)
