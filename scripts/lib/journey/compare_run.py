"""Compare's runs: the fault of each scenario, and the measurements.

A run is one load over warm-up, before, during and after; the fault lasts from `during` to `after`.
A part's figures are of the orders whose intended times are in that part.
"""
import asyncio
import collections
import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from journey import ROOT
from journey.compare_ways import WAYS, CompareError, Shop, die_with_parent
from journey.patience import slower

SLOW_S = 0.2
BURST = 10
PATIENCE_MS = 5000
GOOD_MS = 500                          # a slower order, like an unanswered one, means not recovered
SETTLE_S = 30                          # how long to wait for open orders after a run
POLL_S = 0.1
STEP_S = 0.5                           # of the plots

SCENARIOS = {
    "healthy": "there is no fault",
    "dead": "the account side is dead",
    "slow": f"messages to the account side are delayed by {SLOW_S * 1000:.0f} ms",
    "paused": "the account side is paused (SIGSTOP)",
    "burst": f"{BURST} times as many orders come",
    "busy": "another program keeps one core busy",
}
Span = collections.namedtuple("Span", "warm before during after")


class DelayLine:
    """A TCP proxy to the server that delays the bytes to the client, in order."""

    def __init__(self, server_port):
        self.server_port, self.delay_s, self.port = server_port, 0.0, 0
        self.loop, started = asyncio.new_event_loop(), threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        listener = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = listener.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()
        listener.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def serve(self, reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self.server_port)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self.carry(reader, server_writer, False),
                                 self.carry(server_reader, writer, True))

    async def carry(self, reader, writer, delayed):
        queue = asyncio.Queue()

        async def write():
            while (piece := await queue.get()) is not None:
                await asyncio.sleep(max(0.0, piece[0] - self.loop.time()))
                writer.write(piece[1])
                await writer.drain()
            writer.close()
        writing = asyncio.ensure_future(write())
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                queue.put_nowait((self.loop.time() + (self.delay_s if delayed else 0.0), data))
        queue.put_nowait(None)
        with contextlib.suppress(OSError):
            await writing

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=5)


class Fault:
    """The fault of a scenario: begins with `during`, ends with `after`."""

    def __init__(self, scenario, shop):
        self.scenario, self.shop, self.neighbour, self.line = scenario, shop, None, None

    def prepare(self):
        if self.scenario == "slow":            # the account side uses the proxy from its start
            self.line = DelayLine(int(self.shop.url.rsplit(":", 1)[1]))
            self.shop.account_url = f"nats://127.0.0.1:{self.line.port}"

    def begin(self):
        side = self.shop.way.account_side
        if self.scenario == "dead":
            self.shop.kill(side)
        elif self.scenario == "paused":
            self.shop.signal(side, signal.SIGSTOP)
        elif self.scenario == "slow":
            self.line.delay_s = SLOW_S
        elif self.scenario == "busy":
            self.neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                              preexec_fn=die_with_parent, start_new_session=True)

    def end(self):
        side = self.shop.way.account_side
        if self.scenario == "dead":
            self.shop.start(side)
        elif self.scenario == "paused":
            self.shop.signal(side, signal.SIGCONT)
        elif self.scenario == "slow":
            self.line.delay_s = 0.0
        self.tidy_neighbour()

    def tidy_neighbour(self):
        if self.neighbour:
            self.neighbour.kill()
            self.neighbour.wait()
            self.neighbour = None

    def tidy(self):
        self.tidy_neighbour()
        if self.line:
            self.line.close()


# ---- Orders --------------------------------------------------------------------------------------


class Orders:
    """The output of the load generator: (intended s, latency ms or None, answer)."""

    def __init__(self, text):
        lines = text.splitlines()
        self.start = int(lines[0].split()[1]) / 1e9
        self.rows = []
        for line in lines[1:]:
            intended, latency, answer = line.split()
            self.rows.append(
                (int(intended) / 1e6, int(latency) / 1e3 if int(latency) >= 0 else None, answer))

    def part(self, begin, end):
        return [row for row in self.rows if begin <= row[0] < end]


def figures(rows, seconds):
    """Orders: answered, refused, unanswered in %; answers a second; latencies of the answers."""
    latencies = sorted(latency for _, latency, answer in rows if answer == "ok")
    count, refused = len(rows), sum(answer not in ("ok", "none") for _, _, answer in rows)

    def percentile(p):
        return round(latencies[min(len(latencies) - 1,
                                   math.ceil(len(latencies) * p) - 1)], 2) if latencies else None
    if not count:
        return None
    return {"orders": count, "answered_percent": round(100 * len(latencies) / count, 2),
            "refused_percent": round(100 * refused / count, 2),
            "unanswered_percent": round(100 * (count - refused - len(latencies)) / count, 2),
            "throughput": round(len(latencies) / seconds, 1),
            "p50_ms": percentile(0.5), "p99_ms": percentile(0.99), "p999_ms": percentile(0.999)}


def by_step(orders, length):
    """For the plots: for each half second of intended times its begin, answered %, and p99."""
    series = []
    for step in range(math.ceil(length / STEP_S)):
        part = figures(orders.part(step * STEP_S, (step + 1) * STEP_S), STEP_S)
        series.append([step * STEP_S, part and part["answered_percent"], part and part["p99_ms"]])
    return series


class Load:
    """The load generator, running; the clock of a run is its own."""

    def __init__(self, shop, build, *how):
        command = [
            f"{build}/compare/open-load", "--server", shop.url, "--subject", shop.way.subject,
            "--accounts",
            str(shop.accounts_file), "--skus", "10", "--patience-ms",
            str(PATIENCE_MS), *how
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=die_with_parent)
        self.output, self.reader = "", threading.Thread(target=self.read, daemon=True)
        self.start = time.monotonic()
        self.reader.start()

    def read(self):
        self.output = self.process.stdout.read()

    def result(self, seconds):
        self.reader.join(timeout=seconds)
        if self.reader.is_alive() or self.process.wait() != 0:
            self.kill()
            raise CompareError("the load generator did not end")
        return Orders(self.output)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# ---- Scenarios -----------------------------------------------------------------------------------


def plan(span, rate, scenario):
    during = rate * (BURST if scenario == "burst" else 1)
    return f"{span.warm}:{rate},{span.before}:{rate},{span.during}:{during},{span.after}:{rate}"


def until(moment, progress):
    while (left := moment - time.monotonic()) > 0:
        progress()
        time.sleep(min(left, POLL_S))


def await_caught_up(shop, newest, ended, end, progress):
    """Seconds from the end of the fault until no earlier order is missing; None: not by `end`."""
    while time.monotonic() < end:
        if shop.is_settled(newest):
            return time.monotonic() - ended
        progress()
        time.sleep(POLL_S)
    return None


def recovery(orders, fault_from, fault_to, caught_up):
    """Seconds until orders are good again and no earlier order is missing: the later of the two. A
    late order counts from its intended time: the customer waited from then on."""
    bad = [
        at for at, latency, answer in orders.rows
        if at >= fault_from and (answer != "ok" or latency > GOOD_MS)
    ]
    if caught_up is None:
        return None
    return round(max([caught_up] + [at - fault_to for at in bad]), 2)


def drive(shop, fault, span, options, progress):
    """One load with the fault in its middle: (orders, begin and end of the fault on the load's
    clock, caught up after)."""
    length = sum(span)
    load = Load(shop, options.build, "--plan", plan(span, options.rate, fault.scenario))
    try:
        until(load.start + span.warm + span.before, progress)
        began = time.monotonic()
        fault.begin()
        until(began + span.during, progress)
        newest = shop.newest_order()
        ended = time.monotonic()
        fault.end()
        caught_up = await_caught_up(shop, newest, ended, load.start + length + slower(SETTLE_S),
                                   progress)
        orders = load.result(length + slower(SETTLE_S))
    finally:
        load.kill()
    return orders, began - orders.start, ended - orders.start, caught_up


def measure(shop, fault, span, options, progress):
    scenario, before = fault.scenario, shop.counters()
    orders, began, ended, caught_up = drive(shop, fault, span, options, progress)
    newest = shop.newest_order()
    settle_end = time.monotonic() + (slower(SETTLE_S) if caught_up is not None else 1)
    while time.monotonic() < settle_end and not shop.is_settled(newest):
        progress()
        time.sleep(POLL_S)
    after = shop.counters()
    answered = sum(answer == "ok" for _, _, answer in orders.rows)
    result = {
        "during": figures(orders.part(began, ended),
                          ended - began), "after": figures(orders.part(ended, sum(span)),
                                                           sum(span) - ended),
        "all": figures(orders.part(span.warm, sum(span)),
                       sum(span) - span.warm), "fault": [round(began, 2),
                                                         round(ended, 2)],
        "recovery_s": None if scenario == "healthy" else recovery(orders, began, ended, caught_up),
        "recovered": caught_up is not None, "left_behind": shop.left_behind(newest),
        "steps": by_step(orders, sum(span)),
    }
    if scenario == "healthy" and answered:
        cpu = {name: after["cpu"][name] - before["cpu"].get(name, 0) for name in after["cpu"]}
        result["messages_per_order"] = round((after["messages"] - before["messages"]) / answered, 2)
        result["bytes_per_order"] = round((after["bytes"] - before["bytes"]) / answered)
        result["cpu_s_per_1000"] = round(
            1000 * sum(seconds for name, seconds in cpu.items() if name != "server") / answered, 2)
        result["cpu_server_s_per_1000"] = round(1000 * cpu["server"] / answered, 2)
    return result


def capacity(shop, options, progress):
    """Orders a second with 128 always in flight."""
    progress()
    load = Load(shop, options.build, "--in-flight", "128", "--seconds", str(options.capacity_s))
    try:
        orders = load.result(options.capacity_s + PATIENCE_MS / 1000 + slower(SETTLE_S))
    finally:
        load.kill()
    end = time.monotonic() + slower(SETTLE_S)
    newest = shop.newest_order()
    while time.monotonic() < end and not shop.is_settled(newest):
        progress()
        time.sleep(POLL_S)
    return round(sum(answer == "ok" for _, _, answer in orders.rows) / options.capacity_s)


def needed_services(shop, progress):
    """The services that must be up: each is killed in turn, and an order is tried without it."""
    needed = []
    for name in shop.way.programs:
        progress()
        shop.kill(name)
        if not shop.places_an_order(PATIENCE_MS / 1000):
            needed.append(name)
        shop.start(name)
        shop.wait(20, f"an order is placed with {name} up again", lambda: shop.places_an_order(1.0))
    return needed


def run_way(name, scenarios, span, options, progress):
    """All scenarios of one way, each in a new shop, so that no scenario depends on another."""
    results = {}
    for scenario in scenarios:
        folder = os.path.join(options.work, name, scenario)
        shop = Shop(WAYS[name], options.build, folder, options.server)
        fault = Fault(scenario, shop)
        shop.on_server = fault.prepare         # before the services start
        progress(name, scenario, sum(span))
        try:
            with shop:
                results[scenario] = measure(shop, fault, span, options, progress)
                if scenario == "healthy":
                    progress(name, "capacity", options.capacity_s)
                    results[scenario]["capacity"] = capacity(shop, options, progress)
                    if not options.quick:
                        progress(name, "who is needed", 0)
                        results[scenario]["needed"] = needed_services(shop, progress)
        finally:
            fault.tidy()
        shutil.rmtree(folder, ignore_errors=True)
    return results


if __name__ == "__main__":
    sys.exit(f"compare_run.py is a part of {ROOT}/scripts/compare")
