"""Bench's run: what its sections share.

For a ratio, floor and mesh are measured in turns, within the same minutes, and the median of the
rounds is reported: the speed of a machine changes from minute to minute, and affects both alike.
"""
import json
import shutil
import statistics
import sys

from journey.bench_mesh import Mesh, run_program

NAMES = {
    "shop": "the shop's mix", "place": "order.place", "get": "order.get",
    "register": "account.register",
    "mixed": "mixed: 5 get, 4 place, 1 register", "echo": "bare request-reply"
}


def median(results, *path):
    def value(result):
        for step in path:
            result = result[step]
        return result
    return statistics.median(value(result) for result in results)


class Bench:
    """One run: its settings, its report, and results of a section that another section needs."""

    def __init__(self, setup, options, report):
        self.setup, self.options, self.report = setup, options, report
        self.progress = setup.progress
        self.rates = {}                    # capacity by kind of request
        self.traces = None                 # the folder with the floors' statements

    def tool(self, name, *arguments, label=None):
        return run_program([f"{self.setup.build}/bench/{name}", *arguments], self.progress, 0.0,
                           label)

    def mesh(self, name, **how):
        return Mesh(self.setup, name, **how)

    def replay(self, name, *flags):
        """Replays the recorded statements alone, on the database as it was before them: orders a
        second, and the CPU of an order."""
        if not self.traces:
            self.traces = self.setup.folder / "traces"
            self.traces.mkdir()
            self.tool("bench_record", self.traces, self.options.orders,
                      label="recording the floors' statements")
        database = self.traces / "database"
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        if "--scratch" not in flags:
            shutil.copyfile(self.traces / f"{name}.before", database)
        found = json.loads(
            self.tool("bench_replay", *flags, database, self.traces / f"{name}.trace",
                      label=f"floor: the statements alone ({name})"))
        return {
            "rate": self.options.orders / found["seconds"],
            "cpu": found["cpu_us"] / self.options.orders
        }

    def rate_of(self, kind, mesh):
        """The capacity for a kind of request; a short measurement when `capacity` did not run."""
        if kind not in self.rates:
            self.rates[kind] = mesh.capacity(kind, self.options.seconds / 2)["rate"]
        return self.rates[kind]


POINTS = (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"), ("max", "max_ms"))


def add_latency(bench, section, key, title, histogram, point, asked=None):
    """A line with all percentiles; `point` names the percentile that the target is for."""
    points = "  ".join(f"{name} {histogram[member]:.3g}" for name, member in POINTS)
    bench.report.add(key, title, histogram[f"{point}_ms"], "ms", asked=asked, section=section,
                     shown=f"{points} ms", point=point, rounds=histogram)


def add_cpu(bench, section, kind, used, where="", key="", asked=None):
    """The CPU of each process for one request until all its effects are done: an order is paid,
    published, and read by account-svc. where, key: in the title and the name of the figure, under
    which load that was."""
    text = ", ".join(f"{name} {microseconds:.3g}" for name, microseconds in used.items())
    bench.report.add(f"cpu_{kind}{key}", f"CPU, {NAMES[kind]}{where}",
                     sum(used.values()), "µs", asked=asked, section=section,
                     shown=f"{sum(used.values()):.0f} µs: {text}", rounds=used)


if __name__ == "__main__":
    sys.exit("bench_run.py is a part of scripts/bench")
