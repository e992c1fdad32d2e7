"""Bench's sections: what is measured, one function each, in the order of the report.

Where a ratio is what counts, floor and ours take turns in the same minute, and the median of the rounds is told: such a machine
is now fast, now slow, but both see the same.
"""
import statistics
import sys

from bench_mesh import SERVICES, Mesh, run_program

KINDS = ("place", "get", "register", "mixed")
PROCESSES = ("load", "server", *SERVICES)


class Bench:
    """One run: its settings, its report, and what one section has found out for another."""

    def __init__(self, setup, options, report):
        self.setup, self.options, self.report, self.progress = setup, options, report, setup.progress
        self.rates = {}                    # of a kind, with 256 requests in flight

    def tool(self, name, *arguments, label=None, seconds=0.0):
        return run_program([f"{self.setup.build}/tests/{name}", *arguments], self.progress, seconds, label)

    def mesh(self, name):
        return Mesh(self.setup, name)


def median(results, *path):
    def value(result):
        for step in path:
            result = result[step]
        return result
    return statistics.median(value(result) for result in results)


# ---- Capacity ------------------------------------------------------------------------------------


def grouped_floor(bench, orders):
    return float(bench.tool("bench_orders", bench.setup.folder, orders, 256, label="floor: the statements of an order alone"))


def capacity(bench):
    """What the mesh carries with 256 requests in flight, beside the statements of an order alone."""
    title, seconds = "capacity: 256 requests in flight", bench.options.seconds
    with bench.mesh("capacity") as mesh:
        mesh.capacity("place", seconds / 2)                   # warm
        floors, places, others = [], [], {}
        for _ in range(bench.options.rounds):
            floors.append(grouped_floor(bench, bench.options.orders))
            places.append(mesh.capacity("place", seconds))
        for kind in KINDS[1:]:
            others[kind] = mesh.capacity(kind, seconds)
        peaks = {service: mesh.memory_mib(service) for service in SERVICES}
    ratios = [place["rate"] / floor for place, floor in zip(places, floors)]
    add = bench.report.add
    add("place_of_floor", "order.place sustained / its statements alone, grouped", statistics.median(ratios), asked=(">=", 0.7),
        section=title, rounds=ratios)
    add("place_rate", "order.place", median(places, "rate"), "a second", asked=(">=", 10000), section=title,
        rounds=[place["rate"] for place in places])
    add("floor_grouped", "  its statements alone, 256 orders a commit", statistics.median(floors), "a second", section=title, rounds=floors)
    for kind, result in others.items():
        add(f"{kind}_rate", kind if kind == "mixed" else {"get": "order.get", "register": "account.register"}[kind], result["rate"],
            "a second", section=title)
    for process in PROCESSES:
        add(f"cpu_{process}", f"CPU an order: {process}", median(places, "cpu", process), "µs",
            section=title)
    add("left_to_publish", "  events not yet published when the load ended", median(places, "left", "to_publish"), "events", section=title)
    add("left_to_read", "  events not yet read by account-svc then", median(places, "left", "to_read"), "events", section=title)
    for service, peak in peaks.items():
        add(f"peak_{service}", f"{service}, peak resident memory", peak, "MiB", section=title)
    bench.rates = {"place": median(places, "rate"), **{kind: result["rate"] for kind, result in others.items()}}


SECTIONS = {"capacity": capacity}


if __name__ == "__main__":
    sys.exit("bench_sections.py is a part of scripts/bench")
