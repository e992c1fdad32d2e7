"""Peers' runs: what scripts/compare --peers measures of each system, healthy and through outages.

The systems take turns, round by round, each on fresh folders and with a server of its own; a figure
is the median of the rounds, because the speed of a machine changes from minute to minute.
"""
import json
import os
import pathlib
import shutil
import signal
import statistics
import sys
import time

from journey import ROOT
from journey.bench_mesh import IN_FLIGHT, SERVICES
from journey.natsline import Connection
from journey.patience import far, slower
from journey.peers import ACCOUNT, SYSTEMS
from journey.retrying import Driver

QUIET_RATE = 400                       # orders a second of a quiet hour
UNLOADED_RATE = 50                     # while it is looked when an order is visible
OUTAGE_RATE = 100                      # orders a second during an outage
DOWN_S = 1.5                           # the server, once
REST_MAX_S = 30                        # on a machine with other work
LOOK_S = 1.0                           # between two looks at what is missing

STORIES = {
    "older": "the server dies, and comes back with an older copy of its files",
    "older_reader_down": "it comes back with an older copy, and the account service is down "
    "meanwhile",
    "deleted": "the stream is deleted",
}


# What a run has beside rounds and seconds: unloaded orders, orders to catch up with, the seconds of
# an outage, and for how long nothing may change before what is missing then is missing.
FULL = {"count": 300, "orders": 25000, "outage_s": 12, "rest_s": 15, "stories": list(STORIES)}
QUICK = {"rounds": 1, "seconds": 0.5, "count": 10, "orders": 600, "outage_s": 1.5, "rest_s": 3,
         "stories": ["older_reader_down"]}


# ---- Healthy -------------------------------------------------------------------------------------


def unloaded(system, options):
    """ms: an order's answer, one at a time; and until the other service shows the order."""
    lag = system.lag or system.folder / "requests/lag"
    return {
        "p50": system.unloaded("shop", options.count)["latency"]["p50_ms"],
        "visible": system.open_loop("shop", UNLOADED_RATE, options.seconds,
                                    lag=lag)["lag"]["p50_ms"],
    }


def catching_up(system, options, rate):
    """Events a second that the other service reads after an outage, its start included."""
    orders = round(min(options.orders, rate * options.seconds * 2))
    system.stop(ACCOUNT)
    system.load("shop", f"{orders:,} orders without {ACCOUNT}", count=orders, in_flight=IN_FLIGHT)
    system.progress.begin("until all is published")
    system.wait(1800, "all is published", system.is_out)
    system.progress.begin(f"{ACCOUNT} is catching up")
    system.start(ACCOUNT)
    system.settle()
    return 2 * orders / system.running_s(ACCOUNT)


def healthy(system, options):
    """The figures of one round; None: the system is too slow for it."""
    seconds = options.seconds
    system.capacity("shop", seconds / 2)                       # warm
    began = time.monotonic()
    full = system.capacity("shop", seconds)
    through = full["answered"] / (time.monotonic() - began)
    found = {"rate": full["rate"], "through": through, "cpu": full["cpu"],
             "memory": {name: system.memory_mib(name, "VmRSS") for name in ("server", *SERVICES)},
             "switches": full["switches"], **unloaded(system, options)}
    steady = min(full["rate"], through)
    found["p99_half"] = system.open_loop("shop", steady / 2, seconds)["latency"]["p99_ms"]
    quiet = None
    if steady > 1.2 * QUIET_RATE or options.quick:
        quiet = system.open_loop("shop", QUIET_RATE, seconds)
    found["cpu_quiet"] = quiet and quiet["cpu"]
    found["switches_quiet"] = quiet and quiet["switches"]
    found["catch_up"] = catching_up(system, options, steady)
    orders = system.orders() - system.orders_before
    system.end(SERVICES)                                       # so the files are checkpointed
    found["stored"] = {name: (size - system.base[name]) / orders
                       for name, size in system.bytes_stored().items()}
    return found


def middle(values):
    """The median of each figure of the rounds."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if isinstance(known[0], dict):
        return {key: middle([value[key] for value in known]) for key in known[0]}
    return statistics.median(known)


# ---- Outages -------------------------------------------------------------------------------------


class Outage:
    """Orders at planned times, each retried under its key until it is answered, while things
    happen to the server."""

    def __init__(self, system, options):
        self.system, self.options = system, options
        self.driver = Driver(Connection(system.url, "outage"), None)
        self.accounts, self.products = system.words("customers"), system.words("products")
        self.accepted, self.refused, self.sent, self.revived = set(), {}, 0, 0
        self.run = os.urandom(8).hex()
        self.copy = system.folder / "server-copy"

    def take(self, answer):
        if answer and "order_id" in answer:
            self.accepted.add(answer["order_id"])
        else:
            code = answer["error"]["code"] if answer else "no answer"
            self.refused[code] = self.refused.get(code, 0) + 1

    def place(self):
        i, self.sent = self.sent, self.sent + 1
        line = {"sku": self.products[i * 7 % len(self.products)], "quantity": 1}
        self.driver.send(f"{self.run}-{i}", "order.place", {
            "account_id": self.accounts[i * 13 % len(self.accounts)], "lines": [line]}, self.take)

    def order(self, seconds):
        """Customers order for so long."""
        began, before = time.monotonic(), self.sent
        while (passed := time.monotonic() - began) < seconds:
            while self.sent - before < passed * OUTAGE_RATE:
                self.place()
            self.driver.step()
            self.revived += self.system.revive()
            self.system.progress.tick()

    def copy_server(self):
        """Keeps the server's files as they are now."""
        self.system.stop("server")
        shutil.copytree(self.system.folder / "server", self.copy)
        self.system.start_server_again()

    def fault(self, story):
        if story == "deleted":
            self.system.ask("$JS.API.STREAM.DELETE.ORDER", {}, timeout=5)
            return
        self.system.stop("server", signal.SIGKILL)
        self.order(DOWN_S)
        shutil.rmtree(self.system.folder / "server")
        shutil.copytree(self.copy, self.system.folder / "server")
        self.system.start_server_again()

    def play(self, story):
        """The story, up to the last answer."""
        span = self.options.outage_s
        self.order(span / 4)
        self.driver.finish(far(60))
        if story == "older_reader_down":
            self.system.stop(ACCOUNT, signal.SIGKILL)
        if story != "deleted":
            self.copy_server()
        self.order(span / 3)
        self.fault(story)
        self.order(span * 2 / 3)
        self.driver.finish(far(60))
        if story == "older_reader_down":
            self.system.start(ACCOUNT)

    # ---- What is left of it

    def state(self):
        """Of the accepted orders: what the order service, the stream, and the other service do not
        have; an order is there when its payment is, too."""
        stored, purchases = self.system.order_ids(), self.system.purchases()
        events = self.system.stream_events()
        wanted = {(kind, order) for kind in ("OrderPlaced", "OrderPaid")
                  for order in self.accepted}
        return {"orders": len(self.accepted - stored), "events": len(wanted - events),
                "purchases": sum(not purchases.get(order) for order in self.accepted)}

    def await_rest(self, seconds):
        """Until nothing is missing, or nothing has changed for so long: (state, s)."""
        began = changed = time.monotonic()
        state = self.state()
        while any(state.values()) and time.monotonic() - changed < min(
                slower(seconds), REST_MAX_S):
            time.sleep(LOOK_S)
            self.revived += self.system.revive()
            self.system.progress.tick()
            if (now := self.state()) != state:
                state, changed = now, time.monotonic()
        return state, changed - began


def story_of(system, story, options):
    outage = Outage(system, options)
    system.progress.begin(STORIES[story])
    outage.play(story)
    state, took = outage.await_rest(options.rest_s)
    found = {"sent": outage.sent, "accepted": len(outage.accepted), "refused": outage.refused,
             "missing": state, "settled_s": None if any(state.values()) else round(took, 1)}
    if any(state.values()):                                    # does a restart help?
        system.end(SERVICES)
        for service in SERVICES:
            system.start(service)
        state, _ = outage.await_rest(options.rest_s)
    return found | {"for_ever": state, "restarts": outage.revived}


# ---- All -----------------------------------------------------------------------------------------


def fresh(setup, name, label):
    setup.progress.section = f"{SYSTEMS[name].title}, {label}"
    folder = pathlib.Path(setup.folder) / f"{name}-{label.replace(' ', '-')}"
    shutil.rmtree(folder, ignore_errors=True)
    return SYSTEMS[name](setup, folder.name)


def run(setup, options):
    """{system: {"healthy": …, "rounds": […], "outages": {story: …}}}"""
    results = {name: {"rounds": [], "outages": {}} for name in SYSTEMS}
    for number in range(options.rounds):
        for name in SYSTEMS:
            with fresh(setup, name, f"round {number + 1}") as system:
                results[name]["rounds"].append(healthy(system, options))
            shutil.rmtree(system.folder)
    for story in options.stories:
        for name in SYSTEMS:
            with fresh(setup, name, story) as system:
                results[name]["outages"][story] = story_of(system, story, options)
            shutil.rmtree(system.folder)
    for found in results.values():
        found["healthy"] = middle(found["rounds"])
    return results


if __name__ == "__main__":
    sys.exit(f"peers_run.py is a part of {ROOT}/scripts/compare")
