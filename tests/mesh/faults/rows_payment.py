"""Rows 43 and 54: the payment provider, played by a thread of the test."""
import collections
import itertools
import json
import threading
import time

from kit import needs, require, slower, wait_until
from journey.natsline import Connection

IN_FLIGHT = 16
KEYS = itertools.count(1)


class Provider(Connection):
    """Answers psp.charge, psp.void and psp.refund: a key that was charged gets the same answer
    again. By its mode it does so late, twice, not at all; refuses voids; and says too much."""

    def __init__(self, url):
        super().__init__(url, "provider")
        self.mode = "prompt"               # prompt, slow, silent, twice, dying, refusing, rambling
        self.timeout_s = slower(0.4)       # order-svc's
        self.charged, self.voided, self.refused = {}, set(), set()
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
        if subject != "psp.charge":
            kept = self.mode == "refusing"
            (self.refused if kept else self.voided).add(key)
            answer = {"status": "voided" if subject == "psp.void" else "refunded"}
            if kept:
                answer = {"status": "refused", "reason": "already_settled"}
        else:
            answer = {"status": "paid"}
            if body["card_token"].startswith("tok_declined"):
                answer = {"status": "declined", "reason": "card_declined"}
            if body["card_token"].startswith("tok_soft"):
                answer = {"status": "declined", "reason": "insufficient_funds"}
            before = self.charged.setdefault(key, (answer["status"], body["amount"]))
            if before != (answer["status"], body["amount"]):
                self.wrong.append(f"{key} was {before}, and is charged again as "
                                  f"{answer['status']} {body['amount']}")
        if self.mode in ("silent", "dying"):   # charged, without an answer
            return
        if self.mode == "rambling":            # a final word, and trifles that fit no contract
            answer = {**answer, "decline": 7, "reason": answer.get("reason") and "no " * 100,
                      "fee": 10 ** 30, "nested": {"id": [None]}, "note": "\u0000"}
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


# ---- Row 54 --------------------------------------------------------------------------------------

def begin(mesh, provider, *flags):
    """order-svc asks this provider."""
    timeout_ms = str(int(1000 * provider.timeout_s))
    mesh.flags["order-svc"] = ["--payment", "nats", "--payment-timeout-ms", timeout_ms, *flags]
    mesh.restart("order-svc")


def command(mesh, subject, body, key=None):
    return mesh.ask(subject, body, key or f"k-{next(KEYS)}")


def customer(mesh, token):
    """An account with one card, and tea to order; its id."""
    command(mesh, "order.add-product", {"sku": "tea", "name": "Tea", "stock": 1000,
                                        "price": {"amount": 450, "currency": "EUR"}}, key="tea")
    account = command(mesh, "account.register", {
        "name": "Ada", "email": f"{token}@example.org",
        "address": {"street": "1 Rue", "city": "Paris", "postal_code": "75002",
                    "country": "FR"}})["account_id"]
    add_card(mesh, account, token)
    return account


def add_card(mesh, account, token):
    card = command(mesh, "account.add-card", {
        "account_id": account, "card_token": token, "brand": "visa", "last4": "4242",
        "expires": "2099-12"})["card_id"]
    wait_until(lambda: mesh.query("order-svc", "SELECT count(*) FROM customer_cards"
                                  f" WHERE card_id = '{card}'") == [(1,)], "order-svc has the card")
    return card


def place(mesh, account):
    return command(mesh, "order.place", {"account_id": account,
                                        "lines": [{"sku": "tea", "quantity": 1}]})["order_id"]


def status(mesh, order):
    return mesh.ask("order.get", {"order_id": order})["status"]


def count(mesh, kind):
    return mesh.query("order-svc", f"SELECT count(*) FROM event_log WHERE type = '{kind}'")[0][0]


def work(mesh, name):
    return mesh.stats("order-svc")["work"][name]


def fault_54_provider_always_late(mesh):
    """Every answer comes after one and three quarters of the timeout. Each order is paid once, by
    an answer that no call waited for, and the statistics count it."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider)
        provider.mode = "slow"
        account = customer(mesh, "tok_ok")
        orders = [place(mesh, account) for _ in range(6)]
        wait_until(lambda: all(status(mesh, order) == "paid" for order in orders),
                   "all orders are paid", 30)
        charge = work(mesh, "charge")
        require(charge["late"] > 0, f"the statistics count no late answer: {charge}")
        require(charge["open"] == 0, f"a charge is still open: {charge}")
        mesh.check(wait=40)
        wrong = orders_at_odds(mesh, provider)
        require(not wrong and not provider.wrong, f"{wrong[:3]} {provider.wrong[:3]}")
        return f"{len(orders)} orders, {charge['asked']} calls, {charge['late']} late answers"


def fault_54_provider_late_after_the_deadline(mesh):
    """The provider says paid when the order was cancelled at its deadline: the money is taken
    back."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider, "--payment-deadline-s", "1")
        provider.timeout_s, provider.mode = 4.0, "slow"
        order = place(mesh, customer(mesh, "tok_ok"))
        wait_until(lambda: status(mesh, order) == "cancelled", "the order is cancelled", 15)
        wait_until(lambda: count(mesh, "PaymentArrivedLate") == 1, "the payment arrives late", 30)
        provider.mode = "prompt"
        wait_until(lambda: f"{order}/1" in provider.voided, "the charge is voided", 15)
        mesh.check(wait=40)
        wrong = orders_at_odds(mesh, provider)
        require(not wrong, f"{wrong[:3]}")


def fault_54_provider_refuses_voids(mesh):
    """A charge that nobody wants cannot be taken back. The service gives up after a few refusals,
    says so in the log, the statistics and order.unsettled; order.refund settles it."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider)
        account = customer(mesh, "tok_ok")
        provider.mode = "silent"
        order = place(mesh, account)
        wait_until(lambda: f"{order}/1" in provider.charged, "the order is charged")
        provider.mode = "refusing"
        command(mesh, "order.cancel", {"order_id": order})
        wait_until(lambda: count(mesh, "VoidRefused") == 1, "the void is given up", 30)
        wait_until(lambda: work(mesh, "void")["stuck"] == 1, "the statistics show it")
        rows = mesh.ask("order.unsettled", {})["unsettled"]
        require([row["order_id"] for row in rows] == [order], f"order.unsettled says {rows}")
        require(rows[0]["cause"] == "void_refused" and rows[0]["reason"] == "already_settled",
                f"order.unsettled says {rows}")
        provider.mode = "prompt"
        command(mesh, "order.refund", {"order_id": order})
        wait_until(lambda: mesh.ask("order.unsettled", {})["unsettled"] == [],
                   "the refund settles it", 15)
        wait_until(lambda: work(mesh, "void")["stuck"] == 0, "the statistics show it")
        mesh.check(wait=40)


def fault_54_provider_says_no_softly(mesh):
    """The card has no money now. It stays usable, the order waits, and the next order is paid when
    there is money."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider)
        account = customer(mesh, "tok_soft")
        order = place(mesh, account)
        wait_until(lambda: status(mesh, order) == "payment_failed", "the payment fails")
        mesh.check(wait=40)
        cards = mesh.ask("account.get", {"account_id": account})["cards"]
        require([card["status"] for card in cards] == ["usable"], f"account.get says {cards}")
        place(mesh, account)                    # it is not refused: the card is usable


def fault_54_provider_says_too_much(mesh):
    """The provider's final word comes with a reason that is too long or null, numbers beyond all
    bounds and fields that nobody knows. The word counts."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider)
        provider.mode = "rambling"
        order = place(mesh, customer(mesh, "tok_ok"))
        declined = place(mesh, customer(mesh, "tok_declined"))
        wait_until(lambda: status(mesh, order) == "paid", "the order is paid", 15)
        wait_until(lambda: status(mesh, declined) == "payment_failed", "the other one fails", 15)
        require(provider.calls[f"{order}/1"] == 1, "the charge was asked for again")
        mesh.check(wait=40)


def fault_54_one_bad_card_for_many_orders(mesh):
    """Sixty orders wait, and a card is added that is declined. It is charged once, and declined
    once; the orders go on waiting."""
    mesh.up()
    with Provider(mesh.url) as provider:
        begin(mesh, provider)
        account = customer(mesh, "tok_soft")
        orders = [place(mesh, account) for _ in range(60)]
        wait_until(lambda: count(mesh, "PaymentFailed") == len(orders), "all wait", 30)
        card = add_card(mesh, account, "tok_declined")
        wait_until(lambda: count(mesh, "PaymentFailed") == len(orders) + 1, "the card is tried", 15)
        mesh.check(wait=40)
        hard = mesh.query("order-svc", "SELECT count(*) FROM event_log WHERE type ="
                          f" 'PaymentFailed' AND data ->> 'card_id' = '{card}'")
        told = mesh.query("account-svc", "SELECT count(*) FROM event_log WHERE type ="
                          f" 'CardDeclined' AND data ->> 'card_id' = '{card}'")
        require((hard, told) == ([(1,)], [(1,)]), f"{hard} charges, {told} CardDeclined")
        require(not mesh.log_has("order-svc", "event=payment_provider_away"), "it was not away")
