"""Samples: the events of a stream, letter by letter as they are stored, for tests of later versions
(tests/journeys/samples.h)."""
import base64
import json

from journey.natsline import Connection
from journey.patience import far

ANSWER_S = far(10)


class Unreadable(Exception):
    """A stream cannot be read."""


def messages_of(connection, log):
    """The stored messages, over a connection of our own: no client of the project reads here."""
    info = connection.ask_all([(f"$JS.API.STREAM.INFO.{log}", b"", ())], ANSWER_S)[0]
    state = json.loads(info).get("state")
    if not state or not state["messages"]:
        raise Unreadable(f"there is no stream {log} with messages")
    wanted = [(f"$JS.API.STREAM.MSG.GET.{log}", b'{"seq":%d}' % sequence, ())
              for sequence in range(state["first_seq"], state["last_seq"] + 1)]
    for answer in map(json.loads, connection.ask_all(wanted, ANSWER_S)):
        if "message" not in answer:
            raise Unreadable(f"{log}: {answer.get('error', answer)}")
        yield answer["message"]


def sample(message):
    """What is kept of a stored message. The block begins with NATS/1.0, and ends with an empty
    line."""
    lines = base64.b64decode(message["hdrs"]).decode().split("\r\n")
    headers = [line.split(": ", 1) for line in lines[1:] if line]
    return {"subject": message["subject"], "headers": headers,
            "data": base64.b64decode(message["data"]).decode()}


def read(folder, out, logs):
    """Keeps the streams LOG… of the mesh in the folder as OUT/LOG.jsonl."""
    url = (folder / "run" / "url").read_text(encoding="utf-8").strip()
    connection = Connection(url, "samples")
    out.mkdir(parents=True, exist_ok=True)
    for log in logs:
        lines = [json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"
                 for event in map(sample, messages_of(connection, log))]
        (out / f"{log}.jsonl").write_text("".join(lines), encoding="utf-8")
        print(f"{len(lines)} events of {log} in {out}")
    return 0
