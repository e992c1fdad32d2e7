"""Stranger: a client that means no good, or knows no better, for scripts/chaos:

    python3 stranger.py KIND URL SEED

    headers   new products and accounts, whose requests carry headers as long as they may be
    flood     thousands of queries that wait for a position far in the future
    bodies    requests with 60 KB that no schema allows
    forge     well-formed events in order-svc's name, at positions around its newest, whose chains
              follow nothing

It ends when the server has taken everything; no answer is waited for.
"""
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from journey.natsline import Connection  # noqa: E402 - the path comes first
from journey.patience import slower  # noqa: E402 - the path comes first

COUNT = {"headers": 100, "flood": 3000, "bodies": 300, "forge": 3}
LONG = '"' * 480                        # each quote is escaped where a page has it as JSON


def headers_request(i, draw):
    name = f"stranger-{draw.getrandbits(40):010x}-{i}"
    headers = [("Idempotency-Key", name + LONG), ("ce-correlationid", LONG), ("tracestate", LONG)]
    if i % 2:
        return "order.add-product", {"sku": name, "name": "Odd", "stock": 1, "price": {
            "amount": 1, "currency": "EUR"}}, headers
    return "account.register", {"name": "Odd", "email": f"{name}@example.org", "address": {
        "street": "1 Way", "city": "Bremen", "postal_code": "28195", "country": "DE"}}, headers


def flood_request(_i, _draw):
    return "order.products", {"min_position": {"ORDER": 1 << 40, "ACCOUNT": 1 << 40}}, []


def bodies_request(_i, _draw):
    return "order.place", {"lines": [{"sku": "x" * 50, "quantity": -1}] * 900}, []


def forged_event(position, draw):
    position += draw.randrange(4)
    ident = f"{draw.getrandbits(32):08x}-0000-7000-8000-{position:012}"
    return "evt.order.OrderShipped", {"order_id": "ord_forged", "account_id": "acc_forged"}, [
        ("ce-specversion", "1.0"), ("ce-id", ident), ("ce-source", "/order-svc"),
        ("ce-type", "order.OrderShipped.v1"), ("ce-subject", "ord_forged"),
        ("ce-time", "2026-11-23T08:00:00.000Z"), ("ce-datacontenttype", "application/json"),
        ("Journey-Position", str(position)), ("Journey-Chain", f"{draw.getrandbits(256):064x}")]


REQUESTS = {"headers": headers_request, "flood": flood_request, "bodies": bodies_request,
            "forge": forged_event}


def main():
    kind, url, seed = sys.argv[1:]
    connection, draw = Connection(url, "stranger"), random.Random(int(seed))
    first = 0
    if kind == "forge":
        [stats] = connection.ask_all([("$SRV.STATS.order-svc", b"", ())], slower(5))
        first = json.loads(stats)["endpoints"][0]["data"]["position"] + 1
    for i in range(first, first + COUNT[kind]):
        subject, body, headers = REQUESTS[kind](i, draw)
        if not connection.request(subject, json.dumps(body).encode(), str(i), headers):
            return                      # the server is away: chaos goes on
        if (i - first) % 100 == 0:
            connection.poll(0)
    connection.ask_all([("$SRV.PING.order-svc", b"", ())], slower(5))


if __name__ == "__main__":
    try:
        main()
    except TimeoutError:
        pass                            # order-svc is away just now
