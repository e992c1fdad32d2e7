"""Peers' report: the figures of scripts/compare --peers as Markdown tables and pictures (SVG), and
the lines that a team writes in each system."""
import html
import re
import sys

from journey import ROOT
from journey.bench_mesh import SERVICES
from journey.compare_report import LEFT, RIGHT, STYLE, TOP, WIDTH, number, table
from journey.measuring import paragraph
from journey.peers import SYSTEMS
from journey.peers_run import OUTAGE_RATE, QUIET_RATE, STORIES, UNLOADED_RATE

COLOURS = {"mesh": "#1f6feb", "byhand": "#5b8e7d", "watermill": "#e08e1b"}
PARTS = {"server": "the server", "order-svc": "order-svc", "account-svc": "account-svc"}

# What a team writes for "order something": its contracts, the order with its payment and the
# customer's purchases, and all that carries them. Whole files, also where they do more.
LINES = {
    "mesh": {
        "contracts": ["schemas/order.place*.json", "schemas/evt.order.OrderPlaced.json",
                      "schemas/evt.order.OrderPaid.json", "schemas/evt.order.PaymentFailed.json",
                      "schemas/account.get.json", "schemas/psp.charge*.json"],
        "business": ["order-svc/place_order.c", "order-svc/take_payment.c",
                     "order-svc/payment_sandbox.c", "order-svc/orders_table.c",
                     "order-svc/payments_table.c", "order-svc/products_table.c",
                     "order-svc/tables.[ch]", "account-svc/project_purchases.c",
                     "account-svc/tables.[ch]"],
        "plumbing": ["order-svc/service.c", "order-svc/main.c", "order-svc/journeys.h",
                     "account-svc/service.c", "account-svc/main.c", "account-svc/journeys.h"],
    },
    **{name: {
        "contracts": ["compare/peers/shop/contracts.go"],
        "business": ["compare/peers/shop/[!c]*.go"],
        "plumbing": [f"compare/peers/{name}/*/*.go", "compare/peers/service/*.go",
                     "compare/peers/sqlite/open.go",
                     f"compare/peers/sqlite/{'pinned' if name == 'byhand' else 'cache'}.go"],
    } for name in ("byhand", "watermill")},
}


def code_lines(text):
    """Lines that are neither empty nor a comment, of C, Go or JSON."""
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    return sum(bool(line.strip()) and not line.strip().startswith("//")
               for line in text.splitlines())


def count_lines():
    return {name: {what: sum(code_lines(path.read_text(encoding="utf-8"))
                             for pattern in patterns for path in sorted(ROOT.glob(pattern)))
                   for what, patterns in parts.items()} for name, parts in LINES.items()}


# ---- Tables --------------------------------------------------------------------------------------



def of(found, *path):
    """A figure; the sum of its parts, where it has some."""
    for step in path:
        found = found and found.get(step)
    return sum(value for name, value in found.items() if name != "load") if isinstance(
        found, dict) else found


def all_rows():
    """(title, unit, path of the figure): all figures of a healthy system."""
    yield "orders, a shop's mix", "a second", ("rate",)
    yield "the same, paid, published, and read by the other service", "a second", ("through",)
    for key, where in (("cpu", ""), ("cpu_quiet", f" at {QUIET_RATE} a second")):
        yield f"processor time an order{where}", "µs", (key,)
        for part, title in PARTS.items() if not where else ():
            yield f"– {title}", "µs", (key, part)
    yield "context switches an order", "", ("switches",)
    yield f"context switches an order at {QUIET_RATE} a second", "", ("switches_quiet",)
    yield "an order, unloaded, p50", "ms", ("p50",)
    yield (f"visible in the other service after the answer, at {UNLOADED_RATE} a second, p50", "ms",
           ("visible",))
    yield "an order at half of the capacity, p99", "ms", ("p99_half",)
    yield "catching up after an outage", "events a second", ("catch_up",)
    yield "stored an order", "bytes", ("stored",)
    for part, title in PARTS.items():
        yield f"– {title}", "bytes", ("stored", part)
    for part in ("server", *SERVICES):
        yield f"memory of {PARTS[part]}", "MiB", ("memory", part)


def shown(value):
    if value is None:
        return "–"
    return number(value, 0 if value >= 100 else 1 if value >= 10 else 2)


def healthy_table(systems):
    head = ["", "", *(SYSTEMS[name].title for name in systems), "mesh / by hand"]
    rows = []
    for title, unit, path in all_rows():
        values = [of(found["healthy"], *path) for found in systems.values()]
        mesh, by_hand = (of(systems[name]["healthy"], *path) if name in systems else None
                         for name in ("mesh", "byhand"))
        ratio = f"{mesh / by_hand:.2f}" if mesh is not None and by_hand else "–"
        rows.append([title, unit, *map(shown, values), ratio])
    return table(head, rows)


def stories_of(systems):
    return {story: said for story, said in STORIES.items()
            if all(story in found["outages"] for found in systems.values())}


def outage_table(systems, story):
    head = ["", "orders accepted", "events missing in the stream",
            "orders missing in account-svc",
            "events / orders missing after both services were restarted", "whole again after"]
    rows = []
    for name, found in systems.items():
        result = found["outages"][story]
        missing, for_ever = result["missing"], result["for_ever"]
        whole = "never" if any(for_ever.values()) else "a restart by hand"
        if result["settled_s"] is not None:
            whole = f"{result['settled_s']:.0f} s"
        rows.append([SYSTEMS[name].title, number(result["accepted"]), number(missing["events"]),
                     number(missing["purchases"]),
                     f"{for_ever['events']:,} / {for_ever['purchases']:,}", whole])
    return table(head, rows)


def lines_table(lines):
    head = ["lines of code", *(SYSTEMS[name].title for name in lines)]
    titles = {"contracts": "contracts (JSON schemas; structs in Go)",
              "business": "the order, its payment, the purchases, their tables",
              "plumbing": "requests, keys, transactions, outbox, relay, inbox or cursor, start"}
    return table(head, [[titles[what], *(number(parts[what]) for parts in lines.values())]
                        for what in titles])


def markdown(report, pictures):
    """The tables; pictures is the relative path from the tables to the pictures' folder."""
    machine, systems = report["machine"], report["systems"]
    parts = [paragraph(
        f"`{report['command']}` on {machine['cores']} cores of {machine['cpu']}, shared by load, "
        f"server and services, with a load average of {machine['load']} before the start; Linux "
        f"{machine['kernel']}, nats-server {machine['server']}, SQLite {machine['sqlite']}, "
        f"{report['go']}; {report['date']}. Rounds: {report['rounds']}, of which "
        f"the median is shown; each load lasts {report['seconds']:g} s.") + "\n",
        "### Healthy\n", healthy_table(systems), f"![healthy]({pictures}healthy.svg)\n"]
    parts += ["### Outages\n", paragraph(
        f"{OUTAGE_RATE} orders a second at planned times; each is sent again under its key until "
        "it is answered, so every order here was accepted.") + "\n"]
    for story, said in stories_of(systems).items():
        parts += [f"**{said[0].upper()}{said[1:]}.**\n", outage_table(systems, story)]
    parts += [f"![outages]({pictures}outages.svg)\n", paragraph(
        "Missing in account-svc: accepted orders that it does not know as paid when nothing has "
        "changed any more; an event is missing when an order has none such in the stream, its "
        "payment counted like its placing. Whole again after: from the last answer.") + "\n",
        "### What a team writes\n", lines_table(report["lines"])]
    return "\n".join(parts)


# ---- Pictures ------------------------------------------------------------------------------------

BAR, ROW_GAP, CHART_GAP, NAME = 20, 6, 40, 150


def chart(top, title, values, unit):
    """Bars, one a system, from 0 to the largest value."""
    most = max([value for value in values.values() if value is not None] or [0]) or 1
    out = [f'<text x="{LEFT}" y="{top}" class="title">{html.escape(title)}</text>']
    for i, (name, value) in enumerate(values.items()):
        y = top + 12 + i * (BAR + ROW_GAP)
        width = (WIDTH - LEFT - RIGHT - NAME - 130) * (value or 0) / most
        out.append(
            f'<text x="{LEFT + NAME - 8}" y="{y + 14}" class="tick">'
            f'{html.escape(SYSTEMS[name].title)}</text>'
            f'<rect x="{LEFT + NAME}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" '
            f'fill="{COLOURS[name]}"/>'
            f'<text x="{LEFT + NAME + width + 8:.1f}" y="{y + 14}">'
            f'{html.escape(f"{shown(value)} {unit}".strip())}</text>')
    return out, top + 12 + len(values) * (BAR + ROW_GAP) + CHART_GAP


def picture(head, charts):
    body, top = [], TOP + 20
    for title, values, unit in charts:
        out, top = chart(top, title, values, unit)
        body += out
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
        f'height="{top}">', f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>',
        f'<text x="{LEFT}" y="30" class="head">{html.escape(head)}</text>', *body, "</svg>"]) + "\n"


def healthy_picture(systems):
    def values(*path):
        return {name: of(found["healthy"], *path) for name, found in systems.items()}
    return picture("a shop's mix, healthy", [
        ("orders a second", values("rate"), ""),
        ("processor time an order, all processes", values("cpu"), "µs"),
        ("bytes stored an order, stream and both files", values("stored"), ""),
        ("p99 of an order at half of the capacity", values("p99_half"), "ms")])


def outages_picture(systems):
    def lost(story, what, of_each):
        def share(result):
            return 100 * result["for_ever"][what] / max(1, of_each * result["accepted"])
        return {name: share(found["outages"][story]) for name, found in systems.items()}
    charts = []
    for story, said in stories_of(systems).items():
        charts.append((f"{said}: events missing in the stream", lost(story, "events", 2), "%"))
        orders = lost(story, "purchases", 1)
        if any(orders.values()):
            charts.append((f"{said}: orders missing in account-svc", orders, "%"))
    return picture("what is missing for ever of the orders that were accepted", charts)


if __name__ == "__main__":
    sys.exit(f"peers_report.py is a part of {ROOT}/scripts/compare")
