"""Row 43: the payment provider, played by a thread of the test."""
import collections
import json
import threading
import time

from kit import needs, require, slower, wait_until
from journey.natsline import Connection

IN_FLIGHT = 16


class Provider(Connection):
    """Answers psp.charge and psp.void as the contract wants: a key that was charged gets the same
    answer again."""

    def __init__(self, url):
        super().__init__(url, "provider")
        self.mode = "prompt"               # prompt, slow, silent, twice, dying
        self.timeout_s = slower(0.4)       # order-svc's
        self.charged, self.voided = {}, set()
        self.calls, self.wrong = collections.Counter(), []
        self.delayed = []                  # (due, reply subject, answer)
        self.away_until = 0.0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        self.close()

    def connect(self):
        fresh = self.socket is None
        connected = super().connect()
        if fresh and connected:
            self.write(b"SUB psp.* provider 2\r\n")
        return connected

    def run(self):
        while not self.ends.is_set():
            if self.away_until > time.monotonic():
                self.close()
                self.ends.wait(0.01)
                continue
            self.poll(0.01)
            for due in [entry for entry in self.delayed if entry[0] <= time.monotonic()]:
                self.delayed.remove(due)
                self.say(*due[1:])

    def parse(self):
        """Like Connection.parse, but for requests, with a reply subject."""
        at = 0
        while (end := self.buffer.find(b"\r\n", at)) >= 0:
            words = self.buffer[at:end].split()
            verb = words[0].upper() if words else b""
            if verb in (b"MSG", b"HMSG"):
                head, size = (int(words[-2]) if verb == b"HMSG" else 0), int(words[-1])
                if len(self.buffer) < end + 2 + size + 2:
                    break
                self.take(words[1].decode(), words[3].decode(),
                          json.loads(self.buffer[end + 2 + head:end + 2 + size]))
                end += size + 2
            elif verb == b"PING":
                self.write(b"PONG\r\n")
            at = end + 2
        self.buffer = self.buffer[at:]
        return []

    def say(self, reply_to, answer):
        data = json.dumps(answer).encode()
        self.write(b"PUB %s %d\r\n%s\r\n" % (reply_to.encode(), len(data), data))

    def take(self, subject, reply_to, body):
        key = body["key"]
        self.calls[key] += 1
        if subject == "psp.void":
            self.voided.add(key)
            answer = {"status": "voided"}
        else:
            declined = body["card_token"].startswith("tok_declined")
            answer = {"status": "paid"}
            if declined:
                answer = {"status": "declined", "reason": "insufficient_funds"}
            before = self.charged.setdefault(key, (answer["status"], body["amount"]))
            if before != (answer["status"], body["amount"]):
                self.wrong.append(f"{key} was {before}, and is charged again as "
                                  f"{answer['status']} {body['amount']}")
        if self.mode in ("silent", "dying"):   # charged, without an answer
            return
        if self.mode == "slow":
            self.delayed.append((time.monotonic() + 1.75 * self.timeout_s, reply_to, answer))
            return
        self.say(reply_to, answer)
        if self.mode == "twice":
            self.say(reply_to, answer)
            self.delayed.append((time.monotonic() + 0.5 * self.timeout_s, reply_to, answer))


def orders_at_odds(mesh, provider):
    """The disagreements of charges and log: what was charged and not voided is exactly what the log
    calls paid, once each (I9)."""
    events = mesh.query(
        "order-svc",
        "SELECT type, data FROM event_log WHERE type IN ('OrderPaid', 'PaymentFailed')")
    ended = collections.Counter()
    for kind, data in events:
        value = json.loads(data)
        ended[f"{value['order_id']}/{value['attempt']}",
              "paid" if kind == "OrderPaid" else "declined"] += 1
    wrong = [f"{key} ended {count} times as {status}"
             for (key, status), count in ended.items() if count != 1]
    for key, (status, _) in provider.charged.items():
        if status == "paid" and key not in provider.voided and ended[key, "paid"] != 1:
            wrong.append(f"{key} was charged and is not paid in the log")
        if status == "paid" and key in provider.voided and ended[key, "paid"]:
            wrong.append(f"{key} is paid in the log and was taken back")
    return wrong + [f"{key} is paid in the log and was never charged" for key, status in ended
                    if status == "paid" and provider.charged.get(key, ("",))[0] != "paid"]


def with_provider(mesh, mode, during=lambda provider: None):
    """A load whose charges go to a provider in this mode, which is prompt again in the end."""
    mesh.up()
    with Provider(mesh.url) as provider:
        timeout_ms = str(int(1000 * provider.timeout_s))
        mesh.flags["order-svc"] = ["--payment", "nats", "--payment-timeout-ms", timeout_ms,
                                   "--payment-inflight-max", str(IN_FLIGHT)]
        mesh.restart("order-svc")
        load = mesh.load(seconds=2, rate=80)
        wait_until(lambda: len(provider.charged) > 20, "the provider is asked")
        provider.mode = mode
        during(provider)
        load.finish()
        provider.mode = "prompt"
        mesh.check(wait=40)
        wait_until(lambda: not orders_at_odds(mesh, provider),
                   lambda: f"log and provider agree: {orders_at_odds(mesh, provider)[:3]}", 10)
        require(not provider.wrong, f"{provider.wrong[:3]}")
        return (f"{len(provider.charged)} charges, {sum(provider.calls.values())} calls, "
                f"{len(provider.voided)} voided")


@needs(slow=True)
def fault_43_provider_slow(mesh):
    """The provider answers after the timeout. The same charge is retried under the same key, and
    ends once."""
    return with_provider(mesh, "slow")


@needs(slow=True)
def fault_43_provider_silent(mesh):
    """The provider charges and does not answer, for a while. Each charge is retried under its key,
    and ends once."""
    def during(provider):
        asked = sum(provider.calls.values())
        wait_until(lambda: sum(provider.calls.values()) > asked + 2 * IN_FLIGHT,
                   "charges are retried", 15)
    return with_provider(mesh, "silent", during)


def fault_43_provider_answers_twice(mesh):
    """The provider answers each charge three times. Each charge ends once."""
    return with_provider(mesh, "twice")


def fault_43_provider_dies_between_charge_and_answer(mesh):
    """The provider charges, and dies before it answers; another provider takes over its ledger. No
    order is charged twice."""
    def during(provider):
        asked = len(provider.charged)
        wait_until(lambda: len(provider.charged) > asked + 5, "it has charged without an answer")
        provider.away_until = time.monotonic() + 2
        wait_until(lambda: mesh.log_has("order-svc", "event=payment_provider_away"),
                   "order-svc reports the missing provider")
        provider.mode = "prompt"
    return with_provider(mesh, "dying", during)


@needs(slow=True)
def fault_43_service_dies_between_charge_and_answer(mesh):
    """order-svc is killed with charges in flight, several times. The answers are lost; the next
    start retries under the same keys."""
    def during(provider):
        for _ in range(3):
            asked = sum(provider.calls.values())
            wait_until(lambda: sum(provider.calls.values()) > asked + 4, "charges are under way")
            mesh.kill("order-svc")
            mesh.start("order-svc", wait=False)
            mesh.wait_takes("order-svc")
    return with_provider(mesh, "slow", during)
