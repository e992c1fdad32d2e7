"""Refunds, as the log of order-svc has them: each that was asked for ends once, and no charge gives
back more than it took."""
import collections


def refunds_at_odds(events):
    """How many were asked for, and what is wrong with them."""
    wanted, ended, given = set(), collections.Counter(), collections.Counter()
    totals = {event.value["order_id"]: event.value["total"]["amount"] for event in events
              if event.type == "OrderPlaced"}
    for event in events:
        value = event.value
        if event.type == "RefundRequested":
            wanted.add((value["order_id"], value["refund"]))
        elif event.type in ("OrderRefunded", "RefundFailed"):
            ended[value["order_id"], value["refund"]] += 1
        if event.type == "OrderRefunded":
            given[value["order_id"], value["attempt"]] += value["amount"]["amount"]
    wrong = [f"refund {refund} of {order_id} ended {ended[order_id, refund]} times"
             for order_id, refund in wanted | ended.keys()
             if ended[order_id, refund] != 1 or (order_id, refund) not in wanted]
    wrong += [f"{amount} of {order_id}/{attempt} given back, of {totals.get(order_id)}"
              for (order_id, attempt), amount in given.items()
              if amount > totals.get(order_id, 0)]
    return len(wanted), wrong
