"""Headers: what the headers of an event say that follows from others, or is written in two ways
(docs/PROTOCOL.md, M5, M8, M9). The keys are in lower case, the values not percent-encoded."""
import base64
import sys


def chain_of(headers):
    """In hex: events of 0.1 have it so, later ones in base64url."""
    text = headers["journey-chain"]
    return text if len(text) == 64 else base64.urlsafe_b64decode(text + "=").hex()


def cause_of(headers):
    """None: it has none. That of a request follows from its key."""
    follows = "journey-cause-digest" in headers and "ce-causationid" in headers
    return headers.get("journey-cause", "request/" + headers["ce-causationid"] if follows else None)


if __name__ == "__main__":
    sys.exit("headers.py is a part of the scripts")
