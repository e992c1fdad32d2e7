"""Bench's section of a shop's mix: what shops have, where the other sections have the kindest load
that there is."""
import statistics
import sys

from journey.bench_run import add_cpu, add_latency, median

QUIET_RATE = 400                       # orders a second of a quiet hour
STORED = {"server": "the stream", "order-svc": "order-svc", "account-svc": "account-svc"}


def add_used(bench, section, result, where, key, asked):
    """What an order uses of processor and threads, by process."""
    add_cpu(bench, section, "shop", result["cpu"], where, key if where else "", asked.get("cpu"))
    text = ", ".join(f"{name} {count:.3g}" for name, count in result["switches"].items())
    total = sum(result["switches"].values())
    bench.report.add(f"switches_shop_{key}", f"context switches, the shop's mix{where}", total,
                     "an order", asked=asked.get("switches"), section=section,
                     shown=f"{total:.3g} an order: {text}", rounds=result["switches"])


def shop(bench):
    """10,000 customers in any order, 1,000 products of which few are most of what is bought, random
    keys, one to five lines; and beside it, in turns, one customer, one product, one line, and keys
    that rise."""
    title, seconds = "a shop's mix", bench.options.seconds
    rounds = []
    with bench.mesh("shop", is_crowded=True) as mesh:
        for kind in ("shop", "place"):
            mesh.capacity(kind, seconds / 2)                   # warm
        for _ in range(bench.options.rounds):
            rounds.append({kind: mesh.capacity(kind, seconds) for kind in ("shop", "place")})
        whole = median(rounds, "shop", "rate")
        loads = [(f"{percent}", f", {percent} %", whole * percent / 100)
                 for percent in (1, 10, 50)] + [("quiet", " at a quiet hour", float(QUIET_RATE))]
        results = [mesh.open_loop("shop", rate, seconds) for _, _, rate in loads]
    add, ratios = bench.report.add, [one["shop"]["rate"] / one["place"]["rate"] for one in rounds]
    add("shop_of_kind", "the shop's mix sustained / one customer, one product, rising keys",
        statistics.median(ratios), asked=(">=", 0.8), section=title, rounds=ratios)
    add("shop_rate", "the shop's mix, sustained", whole, "a second", section=title,
        rounds=[one["shop"]["rate"] for one in rounds])
    add("kind_rate", "  one customer, one product, rising keys", median(rounds, "place", "rate"),
        "a second", section=title, rounds=[one["place"]["rate"] for one in rounds])
    add_used(bench, title, {what: {name: median(rounds, "shop", what, name) for name in found}
                            for what, found in rounds[0]["shop"].items()
                            if what in ("cpu", "switches")}, "", "full", {})
    for (key, where, rate), result in zip(loads, results):
        add_latency(bench, title, f"latency_shop_{key}",
                    f"the shop's mix{where}: {rate:,.0f} a second", result["latency"],
                    "p99")
        add_used(bench, title, result, where, key,
                 {"cpu": ("<=", 900), "switches": ("<=", 25)} if key == "quiet" else {})
    for what, asked in (("stored", ("<=", 2400)), ("written", None)):
        found = {name: median(rounds, "shop", what, name) for name in STORED}
        add(f"{what}_shop", f"bytes {what}, the shop's mix", sum(found.values()), "B an order",
            asked=asked, section=title, rounds=found,
            shown=f"{sum(found.values()):,.0f} B an order: " +
            ", ".join(f"{STORED[name]} {size:,.0f}" for name, size in found.items()))
    bench.rates["shop"] = whole


if __name__ == "__main__":
    sys.exit("bench_shop.py is a part of scripts/bench")
