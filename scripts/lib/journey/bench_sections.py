"""Bench's sections: one measurement a function, in the order of the report."""
import json
import shutil
import statistics
import sys
import time

from journey.bench_mesh import IN_FLIGHT, PAUSE_US, SERVICES, BenchError, Echo
from journey.bench_run import NAMES, add_cpu, add_latency, median
from journey.bench_shop import shop

KINDS = ("place", "get", "register", "mixed")
RELAY_WINDOW = 1024                    # the relay's limit of messages in flight
SMALL = 100000                         # up to so many orders the mesh is filled anew in each round
FLAT = 1.1                             # memory that grows by less counts as flat
STORED_BYTES = 5000                    # of an order in two databases and a stream, at most
MIB, GIB = 1 << 20, 1 << 30


# ---- Unloaded ------------------------------------------------------------------------------------


def unloaded(bench):
    title, count = "unloaded: one at a time", bench.options.count
    rounds = []
    with bench.mesh("unloaded") as mesh, Echo(mesh):
        mesh.unloaded("place", 10)
        for i in range(bench.options.rounds):
            commit = json.loads(
                bench.tool("bench_commit", mesh.folder / f"floor-{i}.db", count, PAUSE_US,
                           label="floor: a durable commit"))
            echo = mesh.unloaded("echo", count)["latency"]
            place = mesh.unloaded("place", count)["latency"]
            rounds.append({"commit": commit, "echo": echo, "place": place,
                           "ratio": place["p50_ms"] / (commit["p50_ms"] + echo["p50_ms"])})
        ready = {service: mesh.ready_ms(service) for service in SERVICES}
    add = bench.report.add
    add("unloaded_of_floor", "order.place unloaded, p50 / (a durable commit + a bare round trip)",
        median(rounds, "ratio"), asked=("<=", 1.3), section=title,
        rounds=[one["ratio"] for one in rounds])
    add("floor_commit", "a durable SQLite commit of one event, p50",
        median(rounds, "commit", "p50_ms") * 1000, "µs", section=title)
    add("floor_round_trip", "a bare round trip, p50",
        median(rounds, "echo", "p50_ms") * 1000, "µs", section=title)
    add("place_unloaded", "order.place, p50",
        median(rounds, "place", "p50_ms") * 1000, "µs", section=title)
    add("place_unloaded_p99", "order.place, p99",
        median(rounds, "place", "p99_ms") * 1000, "µs", section=title)
    for service, milliseconds in ready.items():
        add(f"ready_{service}", f"{service}, ready after its start, with nothing stored",
            milliseconds, "ms", section=title)


# ---- Answers that wait for the stream ------------------------------------------------------------


def confirmed_round(bench, committed, published, number):
    """Both ways of answering in turns, and what the longer one cannot do without."""
    count, seconds = bench.options.count, bench.options.seconds
    published.prepare_floor_stream()
    one = {
        "commit": json.loads(
            bench.tool("bench_commit", published.folder / f"floor-{number}.db", count, PAUSE_US,
                       label="floor: a durable commit"))["p50_ms"],
        "echo": published.unloaded("echo", count)["latency"]["p50_ms"],
        "publish": published.unloaded("floor", count)["latency"]["p50_ms"],
        "committed": committed.unloaded("place", count)["latency"]["p50_ms"],
        "published": published.unloaded("place", count)["latency"]["p50_ms"],
        "committed_rate": committed.capacity("place", seconds)["rate"],
        "published_rate": published.capacity("place", seconds)["rate"],
    }
    one["of_floor"] = one["published"] / (one["commit"] + one["echo"] + one["publish"])
    one["of_committed"] = one["published_rate"] / one["committed_rate"]
    return one


def confirmed(bench):
    title = "answers when the stream has what they rest on (--answer-when published)"
    flags = ["--answer-when", "published"]
    with bench.mesh("committed") as committed, \
            bench.mesh("published", flags=flags) as published, Echo(published):
        for mesh in (committed, published):                    # warm
            mesh.capacity("place", bench.options.seconds / 2)
        rounds = [confirmed_round(bench, committed, published, number)
                  for number in range(bench.options.rounds)]
    add = bench.report.add
    add("published_of_floor", "order.place unloaded, p50 / (a durable commit + a bare round trip + "
        "a bare publish)", median(rounds, "of_floor"), asked=("<=", 1.3), section=title,
        rounds=[one["of_floor"] for one in rounds])
    add("published_of_committed", "order.place sustained / the same with `committed`",
        median(rounds, "of_committed"), asked=(">=", 0.8), section=title,
        rounds=[one["of_committed"] for one in rounds])
    for key, name in (("published", "order.place, p50"), ("committed", "  the same, `committed`"),
                      ("commit", "a durable commit, p50"), ("echo", "a bare round trip, p50"),
                      ("publish", "a bare publish, p50")):
        add(f"confirmed_{key}", name, median(rounds, key) * 1000, "µs", section=title)
    for key in ("published", "committed"):
        add(f"confirmed_{key}_rate", f"order.place, sustained, `{key}`",
            median(rounds, f"{key}_rate"), "a second", section=title)


# ---- Capacity ------------------------------------------------------------------------------------


def capacity_rounds(bench, mesh):
    rounds = []
    mesh.capacity("place", bench.options.seconds / 2)          # warm
    for _ in range(bench.options.rounds):
        before = mesh.stats("order-svc")
        one = {
            "floor": bench.replay("place"), "place": mesh.capacity("place", bench.options.seconds),
            "paid": bench.replay("paid")
        }
        after = mesh.stats("order-svc")
        one["ratio"] = one["place"]["rate"] / one["floor"]["rate"]
        one["paid_ratio"] = one["place"]["rate"] / one["paid"]["rate"]
        items, commits = (after[name] - before[name] for name in ("committed_items", "commits"))
        one["group"] = items / max(1, commits)
        rounds.append(one)
    return rounds


def capacity(bench):
    title = f"capacity: {IN_FLIGHT} requests in flight"
    with bench.mesh("capacity") as mesh:
        rounds = capacity_rounds(bench, mesh)
        others = {kind: mesh.capacity(kind, bench.options.seconds) for kind in KINDS[1:]}
        with Echo(mesh):
            others["echo"] = mesh.capacity("echo", bench.options.seconds)
    with bench.mesh("single", flags=["--batch-max", "1"]) as mesh:
        single = mesh.capacity("place", bench.options.seconds / 2)
    rate = median(rounds, "place", "rate")
    add = bench.report.add
    add("place_of_floor", "order.place sustained / its statements alone, grouped",
        median(rounds, "ratio"), asked=(">=", 0.7), section=title,
        rounds=[one["ratio"] for one in rounds])
    add("place_of_floor_paid", "  the same / its statements and those of its payment alone",
        median(rounds, "paid_ratio"), section=title, rounds=[one["paid_ratio"] for one in rounds])
    add("place_of_single", "order.place sustained / the same with one commit a request",
        rate / single["rate"], section=title)
    add("place_rate", "order.place, sustained", rate, "a second", asked=(">=", 10000),
        section=title, rounds=[one["place"]["rate"] for one in rounds])
    add("floor_grouped", f"  its statements alone, {IN_FLIGHT} orders a commit",
        median(rounds, "floor", "rate"), "a second", section=title)
    add("floor_grouped_paid", "  its statements and those of its payment alone",
        median(rounds, "paid", "rate"), "a second", section=title)
    add("place_single", "  with one commit a request", single["rate"], "a second", section=title)
    for kind, result in others.items():
        add(f"{kind}_rate", NAMES[kind], result["rate"], "a second", section=title)
    add_cpu(bench, title, "place",
            {name: median(rounds, "place", "cpu", name) for name in rounds[0]["place"]["cpu"]})
    add("cpu_floor", "  CPU, its statements alone", median(rounds, "floor", "cpu"), "µs",
        section=title)
    add("cpu_floor_paid", "  CPU, its statements and those of its payment alone",
        median(rounds, "paid", "cpu"), "µs", section=title)
    for kind in KINDS[1:]:
        add_cpu(bench, title, kind, others[kind]["cpu"])
    add("group", "order-svc, items a commit", median(rounds, "group"), "items", section=title)
    add("left_to_pay", "orders not yet paid when the load ended",
        median(rounds, "place", "left", "to_pay"), "orders", section=title)
    add("left_to_publish", "events not yet published when the load ended",
        median(rounds, "place", "left", "to_publish"), "events", section=title)
    add("left_to_read", "events not yet read by account-svc when the load ended",
        median(rounds, "place", "left", "to_read"), "events", section=title)
    bench.rates = {"place": rate, **{kind: others[kind]["rate"] for kind in KINDS[1:]}}


# ---- Latency -------------------------------------------------------------------------------------


def latency(bench):
    title = "latency at planned times, by part of the capacity"
    with bench.mesh("latency") as mesh:
        for kind in KINDS:
            whole = bench.rate_of(kind, mesh)
            for percent in (10, 50, 90):
                result = mesh.open_loop(kind, whole * percent / 100, bench.options.seconds)
                asked = ("<=", 10.0) if (kind, percent) == ("place", 50) else None
                refused = result["refused"] + result["unanswered"]
                refused = f", {refused} refused" if refused else ""
                add_latency(
                    bench, title, f"latency_{kind}_{percent}",
                    f"{NAMES[kind]}, {percent} %: {whole * percent / 100:,.0f} a second{refused}",
                    result["latency"], "p99", asked)
                for part, found in result["requests"].items() if kind == "mixed" else ():
                    add_latency(bench, title, f"latency_{kind}_{percent}_{part}",
                                f"  of these, {part}", found, "p99")
                if kind == "place":
                    add_cpu(bench, title, kind, result["cpu"], f", {percent} %", percent)


# ---- Lags ----------------------------------------------------------------------------------------


def lags(bench):
    title = "lag: from an order's answer"
    with bench.mesh("lags") as mesh:
        half = bench.rate_of("place", mesh) / 2
        for name, rate, asked in (("unloaded", 50.0, 5.0), ("half", half, 50.0)):
            where = "unloaded" if name == "unloaded" else "at half capacity"
            lag = mesh.open_loop("place", rate, bench.options.seconds,
                                 lag=mesh.folder / "requests/lag")["lag"]
            relay = mesh.open_loop("place", rate, bench.options.seconds,
                                   events="evt.order.OrderPlaced")["relay"]
            add_latency(bench, title, f"visible_{name}",
                        f"visible in account-svc, {where}: {rate:,.0f} a second", lag, "p50",
                        ("<=", asked))
            add_latency(bench, title, f"relay_{name}", f"published by the relay, {where}", relay,
                        "p50")


# ---- The stream, catching up, rebuilding ---------------------------------------------------------


def floor_stream(bench, mesh, window):
    mesh.prepare_floor_stream()
    return mesh.load("floor", f"floor: publishing, {window} in flight", bench.options.seconds / 2,
                     in_flight=window)["rate"]


CATCHUP = {
    "catch_up_ratio": ("catching up after an outage / the same upserts alone", (">=", 0.5)),
    "rebuild_ratio": ("rebuilding the tables / the same upserts alone", (">=", 0.5)),
    "relay_ratio": ("the relay, filling an empty stream / bare publishing", None),
    "standby_ratio": ("an empty standby reads its stream / the log's and the tables' statements "
                      "alone", None),
    "standby": ("an empty standby of order-svc reads its stream, its start included", None),
    "paid": ("  the log's and the tables' statements alone, 256 orders a commit", None),
    "catch_up": ("account-svc catches up, its start included", None),
    "project": ("  its upserts alone, 512 events a commit", None),
    "rebuild": ("order-svc rebuilds its tables from its log", None),
    "fold": ("  its upserts alone", None),
    "compare": ("  comparing the rebuilt tables", None),
    "relay": ("the relay fills an empty stream, its start included", None),
    "stream": (f"  bare publishing with the relay's headers, {RELAY_WINDOW} in flight", None),
    "stream_single": ("  bare publishing, one at a time", None),
}


def catchup(bench):
    title, orders = "stream, catching up, rebuilding", bench.options.orders
    rounds = []
    for i in range(bench.options.rounds):
        one = {
            "project": 2 * bench.replay("project", "--writes-only")["rate"],
            "fold": 2 * bench.replay("rebuild", "--writes-only", "--scratch")["rate"],
            "paid": 2 * bench.replay("paid", "--writes-only")["rate"]
        }
        with bench.mesh(f"catchup-{i}", filled=orders, reader_is_late=True) as mesh:
            one["relay"] = 2 * orders / mesh.published_s
            one["stream"] = floor_stream(bench, mesh, RELAY_WINDOW)
            one["stream_single"] = floor_stream(bench, mesh, 1)
            one["standby"] = 2 * orders / mesh.standby_s()
            mesh.start("account-svc")
            bench.progress.begin("account-svc is catching up")
            mesh.settle()
            one["catch_up"] = 2 * orders / mesh.running_s("account-svc")
        rebuilt = json.loads(
            bench.tool("bench_rebuild", mesh.folder / "order-svc/order-svc.db", label="rebuild"))
        one |= {
            "rebuild": rebuilt["events"] / rebuilt["fold_s"],
            "compare": rebuilt["events"] / rebuilt["compare_s"]
        }
        one |= {
            "catch_up_ratio": one["catch_up"] / one["project"],
            "rebuild_ratio": one["rebuild"] / one["fold"],
            "relay_ratio": one["relay"] / one["stream"],
            "standby_ratio": one["standby"] / one["paid"]
        }
        rounds.append(one)
        shutil.rmtree(mesh.folder)
    for key, (name, asked) in CATCHUP.items():
        unit = "" if key.endswith("_ratio") else "events/s"
        bench.report.add(key, name, median(rounds, key), unit, asked=asked, section=title,
                         rounds=[one[key] for one in rounds])


# ---- Memory and growth ---------------------------------------------------------------------------


def memory(bench):
    title, seconds = "memory and growth, over a long load", bench.options.long_seconds
    samples = {service: [] for service in SERVICES}

    def look():
        for service in SERVICES:
            samples[service].append((time.monotonic(), mesh.memory_mib(service, "VmRSS")))
    with bench.mesh("memory") as mesh:
        before = {name: mesh.bytes_of(name) for name in ("server", *SERVICES)}
        result = mesh.capacity("place", seconds, look)
        grown = {name: mesh.bytes_of(name) - size for name, size in before.items()}
        peaks = {service: mesh.memory_mib(service) for service in SERVICES}
    add, orders = bench.report.add, result["answered"]
    for service, taken in samples.items():
        tenth = taken[0][0] + (taken[-1][0] - taken[0][0]) / 5
        early = next(size for at, size in taken if at >= tenth)
        add(f"flat_{service}", f"{service}, resident at the end / after a fifth of the load",
            taken[-1][1] / early, asked=("<=", FLAT), section=title)
        add(f"early_{service}", f"{service}, resident after a fifth of the load", early, "MiB",
            section=title)
        add(f"late_{service}", f"{service}, resident at its end", taken[-1][1], "MiB",
            section=title)
        add(f"peak_{service}", f"{service}, peak", peaks[service], "MiB", section=title)
    add("long_orders", "orders in that load", orders, "orders", section=title)
    for name, size in grown.items():
        what = "the stream" if name == "server" else f"{name}'s database"
        add(f"growth_{name}", f"{what}, a million orders", size / orders * 1e6 / MIB, "MiB",
            section=title)


# ---- Many orders stored --------------------------------------------------------------------------


def stored_round(bench, meshes, notes):
    """Each size in turn. A small mesh is filled anew, so that it stays small."""
    rates = {}
    for size, mesh in meshes.items():
        if size <= SMALL:
            shutil.rmtree(mesh.folder, ignore_errors=True)
        with mesh:
            mesh.capacity("place", count=bench.options.stored_orders // 4)          # warm
            rates[size] = mesh.capacity("place", count=bench.options.stored_orders)["rate"]
            notes[size] = {
                "ready": mesh.ready_ms("order-svc"), "peak": mesh.memory_mib("order-svc"),
                "bytes": mesh.bytes_of("order-svc"), "fill": size / mesh.filled_s,
                "publish": 2 * size / mesh.published_s
            }
    return rates


def stored(bench):
    title, sizes = "throughput with many orders stored", sorted(bench.options.stored)
    wanted, free = sum(sizes) * STORED_BYTES, shutil.disk_usage(bench.setup.folder).free
    if wanted > free:
        raise BenchError(f"--stored needs {wanted / GIB:.0f} GiB, and {bench.setup.folder} has "
                         f"{free / GIB:.0f} GiB; TMPDIR may name another folder")
    meshes, notes = {size: bench.mesh(f"stored-{size}", filled=size) for size in sizes}, {}
    rounds = [stored_round(bench, meshes, notes) for _ in range(bench.options.rounds)]
    for mesh in meshes.values():
        shutil.rmtree(mesh.folder)
    add = bench.report.add
    for size in sizes[1:]:
        ratios = [rates[size] / rates[sizes[0]] for rates in rounds]
        add(f"stored_{size}_ratio", f"order.place with {size:,} orders stored / with {sizes[0]:,}",
            statistics.median(ratios), asked=(">=", 0.8), section=title, rounds=ratios)
    for size in sizes:
        add(f"stored_{size}", f"order.place with {size:,} stored", median(rounds, size), "a second",
            section=title, rounds=[rates[size] for rates in rounds])
        add(f"stored_{size}_ready", "  order-svc, ready after its start", notes[size]["ready"],
            "ms", section=title)
        add(f"stored_{size}_peak", "  order-svc, peak resident memory", notes[size]["peak"], "MiB",
            section=title)
        add(f"stored_{size}_bytes", "  order-svc's database", notes[size]["bytes"] / MIB, "MiB",
            section=title)
        add(f"stored_{size}_fill", "  filling by the services' loops", notes[size]["fill"],
            "orders/s", section=title)
        add(f"stored_{size}_publish", "  publishing by order-svc", notes[size]["publish"],
            "events/s", section=title)


SECTIONS = {
    "shop": shop, "unloaded": unloaded, "confirmed": confirmed, "capacity": capacity,
    "latency": latency, "lags": lags, "catchup": catchup, "memory": memory, "stored": stored
}


if __name__ == "__main__":
    sys.exit("bench_sections.py is a part of scripts/bench")
