#!/usr/bin/env python3
"""caller.py - ask the services of a mesh, as docs/PROTOCOL.md says (Q4: rule 4 of a caller)

Opens an account, orders, is refused, asks again under the same key, reads what it has written, and
goes on ordering until an instance of order-svc has died and another leads. Prints what it did.
NATS_URL says where the server is; in a secure mesh NATS_NKEY or NATS_CREDS is the file with the
user's key, NATS_CA the authority's certificate, and NATS_INBOX_PREFIX where the user may listen
(_INBOX.shop). Needs Python 3.8 and nats-py; for keys nats-py[nkeys].
"""
import asyncio
import json
import os
import ssl
import uuid

import nats
import nats.errors

TRY_S, TRY_MAX_S = 0.25, 4              # how long a try waits for its answer, at first and at most
GIVE_UP_S = 60 * int(os.environ.get("JOURNEY_PATIENCE", "1"))


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(f"{code} ({status}): {message}")
        self.status, self.code = status, code


def read_reply(reply):
    """Q2: an answer, or a refusal, whose body says why; the status stands in a header."""
    answer = json.loads(reply.data)
    if "error" in answer:
        raise Refused(int(reply.headers["Nats-Service-Error-Code"]), answer["error"]["code"],
                      answer["error"]["message"])
    return answer


class Caller:
    def __init__(self, nc):
        self.nc = nc
        self.no_responders = self.no_answers = 0

    async def try_once(self, subject, body, headers, wait_s):
        """The answer, or None: ask again."""
        try:
            reply = await self.nc.request(subject, body, timeout=wait_s, headers=headers)
            return read_reply(reply)
        except nats.errors.NoRespondersError:               # Q6: nobody has taken it
            self.no_responders += 1
        except (nats.errors.TimeoutError, asyncio.TimeoutError):    # it may have happened
            self.no_answers += 1
        except Refused as refused:
            if refused.status < 500:                        # Q5: of the request; else of the moment
                raise
        return None

    async def ask(self, subject, request, key=None):
        """Q4: the same bytes under the same key, again and again, until there is an answer."""
        body = json.dumps(request).encode()
        headers = {"Idempotency-Key": key} if key else None
        until = asyncio.get_running_loop().time() + GIVE_UP_S
        wait_s = TRY_S
        while asyncio.get_running_loop().time() < until:
            answer = await self.try_once(subject, body, headers, wait_s)
            if answer is not None:
                return answer
            await asyncio.sleep(wait_s / 5)                 # Q7
            wait_s = min(2 * wait_s, TRY_MAX_S)
        raise TimeoutError(f"{subject}: no answer")

    async def command(self, subject, **request):
        return await self.ask(subject, request, key=str(uuid.uuid4()))      # Q3: each has its own


async def open_shop(caller, sku):
    address = {"street": "1 Rue de la Paix", "city": "Paris", "postal_code": "75002",
               "country": "FR"}
    registered = await caller.command("account.register", name="Ada", address=address,
                                      email=f"{uuid.uuid4()}@example.org")
    account = registered["account_id"]
    card = await caller.command("account.add-card", account_id=account, card_token="tok_ok",
                                brand="visa", last4="4242", expires="2099-12")
    await caller.command("order.add-product", sku=sku, name="Tea", stock=100000,
                         price={"amount": 450, "currency": "EUR"})
    # Q8: order-svc keeps its own copy of accounts; this waits until the copy has the card.
    await caller.ask("order.list", {"account_id": account,
                                    "min_position": {"ACCOUNT": card["position"]}})
    print(f"account {account}")
    return account


def rights():
    """What nats.connect wants of who asks; nothing in an open mesh."""
    given = {"nkeys_seed": os.environ.get("NATS_NKEY"),
             "user_credentials": os.environ.get("NATS_CREDS"),
             "inbox_prefix": os.environ.get("NATS_INBOX_PREFIX")}
    if os.environ.get("NATS_CA"):
        given["tls"] = ssl.create_default_context(cafile=os.environ["NATS_CA"])
    return {name: value for name, value in given.items() if value}


async def main():
    caller = Caller(await nats.connect(os.environ["NATS_URL"], max_reconnect_attempts=-1,
                                       reconnect_time_wait=0.2, **rights()))
    sku = f"tea-{uuid.uuid4()}"
    account = await open_shop(caller, sku)

    def order(quantity=1):
        return {"account_id": account, "lines": [{"sku": sku, "quantity": quantity}]}

    key = str(uuid.uuid4())
    placed = await caller.ask("order.place", order(), key)
    print(f"placed {placed['order_id']}")
    try:
        await caller.command("order.place", **order(quantity=1000000))
    except Refused as refused:
        print(f"refused {refused.code} {refused.status}")
    again = await caller.ask("order.place", order(), key)
    print(f"again {again['order_id']}")
    try:
        await caller.ask("order.place", order(quantity=2), key)
    except Refused as refused:
        print(f"refused {refused.code} {refused.status}")

    # Q8: what was written is read, here and at the other service, which has it by its own copy.
    at = {"min_position": {"ORDER": placed["position"]}}
    found = await caller.ask("order.get", {"order_id": placed["order_id"], **at})
    print(f"read {found['order_id']} {found['total']['amount']}"
          f" {found['as_of']['ORDER']['position'] >= placed['position']}")
    found = await caller.ask("account.get", {"account_id": account, **at})
    print(f"purchases {len(found['purchases'])}")

    print("ready for a take-over", flush=True)
    caller.no_responders = orders = 0
    while caller.no_responders == 0 or orders < 10:
        await caller.command("order.place", **order())
        orders += 1
        await asyncio.sleep(0.01)
    print(f"ordered {orders}, tries without a responder: {caller.no_responders},"
          f" without an answer: {caller.no_answers}")


if __name__ == "__main__":
    asyncio.run(main())
