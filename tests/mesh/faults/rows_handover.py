"""Row 44, continued: two instances of a service, and the lead goes from one to the other."""
import json
import signal
import time

import kit
from kit import require, slower, wait_until
from rows_instances import NAME, says, second

EACH_S = 0.004        # an order so often
ANSWER_MAX_S = 0.15   # the longest answer while the lead is handed over, on an idle machine


class Orders:
    """A customer who orders all the time, on one connection, and remembers each answer."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.body = {"account_id": mesh.buyers()[0],
                     "lines": [{"sku": mesh.product("tea", 1000000), "quantity": 1}]}
        wait_until(lambda: "order_id" in (mesh.request("order.place", self.body) or {}),
                   "an order is taken", 20)
        self.connection = mesh.client("orders")
        self.sent, self.answers, self.other, self.next = {}, {}, {}, time.monotonic()

    def step(self):
        now = time.monotonic()
        if now >= self.next:
            key = f"order-{len(self.sent)}"
            self.sent[key] = now
            self.connection.request("order.place", json.dumps(self.body).encode(), key,
                                    [("Idempotency-Key", key)])
            self.next = max(self.next + EACH_S, now)
        for token, _, data in self.connection.poll(0.001):
            answer = json.loads(data) if data else {"error": {"code": "no_responders"}}
            if token in self.sent:
                self.answers[token] = (time.monotonic() - self.sent[token], answer)
            else:
                self.other[token] = answer

    def until(self, condition, what, seconds=20):
        end = time.monotonic() + kit.far(seconds)
        while not condition():
            require(time.monotonic() < end, what if isinstance(what, str) else what())
            self.step()

    def ask(self, subject, body, token):
        self.connection.request(subject, json.dumps(body).encode(), token)
        self.until(lambda: token in self.other, f"{subject} is answered")
        return self.other[token]

    def some(self, count=50):
        wanted = len(self.answers) + count
        self.until(lambda: len(self.answers) >= wanted, "orders are answered")

    def finish(self):
        """All are answered, none is refused; the longest answer in seconds."""
        count, end = len(self.sent), time.monotonic() + kit.far(10)
        self.next = float("inf")
        while len(self.answers) < count and time.monotonic() < end:
            self.step()
        lost = [key for key in self.sent if key not in self.answers]
        require(not lost, f"{len(lost)} of {count} orders have no answer: {lost[:5]}")
        refused = [answer for _, answer in self.answers.values() if "order_id" not in answer]
        require(not refused, f"{len(refused)} of {count} are refused: {refused[:3]}")
        ids = {answer["order_id"] for _, answer in self.answers.values()}
        require(len(ids) == count, f"{count} orders, and {len(ids)} ids")
        self.connection.close()
        return max(took for took, _ in self.answers.values())


def fault_44_handed_over(mesh):
    """Two instances of order-svc run, and 250 orders a second come. An operator asks for hand-over,
    and the standby leads; the first follows. Then the new leader is stopped by SIGTERM, as for an
    upgrade, and the first leads again. No order is refused or lost, none has two events, and the
    longest answer takes less than 150 ms. Without a standby a handover is refused."""
    mesh.up()
    mesh.load(seconds=0.5).finish()
    said = mesh.request("order.hand-over", {}, timeout=5)
    require(said["error"]["code"] == "conflict" and "no standby" in said["error"]["message"],
            f"without a standby: {said}")
    other = second(mesh)
    wait_until(lambda: says(other, "event=answers_queries"),
               lambda: f"the second is near:\n{other.text()}", 20)
    orders = Orders(mesh)
    orders.some()
    said = orders.ask("order.hand-over", {}, "handover")
    require(said.get("leads") is True, f"it is handed over: {said}\n{mesh.log_text(NAME)}")
    orders.until(lambda: says(other, "event=ready"), lambda: f"the second leads:\n{other.text()}")
    before = mesh.log_size(NAME)
    orders.until(lambda: mesh.log_has(NAME, "event=answers_queries"), "the first follows")
    orders.until(lambda: says(other, "event=standby_heard"), "the second has heard of it")
    orders.some()
    other.process.send_signal(signal.SIGTERM)
    orders.until(lambda: mesh.log_has(NAME, "event=ready", before), "the first leads again")
    orders.some()
    orders.until(other.ended, "the second ends")
    longest = orders.finish()
    require(says(other, "event=handed_over"), other.text())
    require(other.process.returncode == 0, f"it ended with {other.process.returncode}")
    require(longest < slower(ANSWER_MAX_S), f"the longest answer took {longest * 1000:.0f} ms")
    print(f"{len(orders.answers)} orders, the longest answer {longest * 1000:.0f} ms")
    mesh.check()
