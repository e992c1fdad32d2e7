"""Compare's report: the figures of scripts/compare as Markdown tables and as pictures (SVG)."""
import html
import math
import sys

from journey import ROOT
from journey.compare_run import BURST, GOOD_MS, PATIENCE_MS, SCENARIOS, SLOW_S, STEP_S
from journey.compare_ways import WAYS
from journey.measuring import paragraph

COLOURS = {
    "orchestrated": "#d1495b", "choreographed": "#e08e1b", "synchronous": "#7a5195",
    "pushed": "#5b8e7d", "journeys": "#1f6feb"
}
NAMES = {
    "healthy": "healthy", "dead": "account side dead",
    "slow": f"account side +{SLOW_S * 1000:.0f} ms", "paused": "account side paused",
    "burst": f"burst ×{BURST}", "busy": "a busy neighbour"
}


def number(value, digits=1):
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if isinstance(
        value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cost_table(ways):
    head = [
        "way", "hops in sequence", "services needed", "messages an order", "bytes an order",
        "CPU s / 1,000 orders", "+ the server's", "p50 ms", "p99 ms", "p99.9 ms", "most orders / s"
    ]
    rows = []
    for name, results in ways.items():
        healthy = results.get("healthy", {})
        all_ = healthy.get("all") or {}
        needed = "–"
        if "needed" in healthy:
            needed = f"{len(healthy['needed'])} of {len(WAYS[name].programs)}"
        rows.append([
            WAYS[name].title,
            str(WAYS[name].hops), needed,
            number(healthy.get("messages_per_order")),
            number(healthy.get("bytes_per_order")),
            number(healthy.get("cpu_s_per_1000"), 2),
            number(healthy.get("cpu_server_s_per_1000"), 2),
            number(all_.get("p50_ms")),
            number(all_.get("p99_ms")),
            number(all_.get("p999_ms")),
            number(healthy.get("capacity"))
        ])
    return table(head, rows)


def recovery_text(scenario, result):
    if scenario == "healthy":
        return "–"
    if result["recovery_s"] is None:
        return "never" if result["left_behind"] else "not within the run"
    return f"{result['recovery_s']:.1f} s"


def scenario_table(ways, scenario):
    head = [
        "way", "answered %", "refused %", "no answer %", "orders / s", "p50 ms", "p99 ms",
        "p99.9 ms", "recovered after", "left behind"
    ]
    rows = []
    for name, results in ways.items():
        result = results.get(scenario)
        if not result:
            continue
        part = result["all" if scenario == "healthy" else "during"] or {}
        rows.append([WAYS[name].title] + [
            number(part.get(key), 2 if key == "answered_percent" else 1)
            for key in ("answered_percent", "refused_percent", "unanswered_percent", "throughput",
                        "p50_ms", "p99_ms", "p999_ms")
        ] + [recovery_text(scenario, result),
             number(result["left_behind"])])
    return table(head, rows)


def markdown(report, pictures):
    """The tables; pictures is the relative path from the tables to the pictures' folder."""
    ways, machine, span = report["ways"], report["machine"], report["span"]
    parts = [paragraph(
        f"`{report['command']}` on {machine['cores']} cores of {machine['cpu']}, shared by "
        f"customers, server and services, with a load average of {machine['load']} before the "
        f"start; Linux {machine['kernel']}, nats-server {machine['server']}, SQLite "
        f"{machine['sqlite']}; {report['date']}. {report['rate']:,} orders a second; "
        f"{span['warm']} s warm-up, {span['before']} s before, {span['during']} s during, "
        f"{span['after']} s after.") + "\n"]
    scenarios = [name for name in SCENARIOS if any(name in results for results in ways.values())]
    if "healthy" in scenarios:
        parts += ["### What an order costs, healthy\n", cost_table(ways)]
    for scenario in scenarios:
        title, fault = NAMES[scenario], SCENARIOS[scenario]
        if scenario != "healthy":
            fault += f" for {span['during']} s. The figures are of orders from that time"
        parts += [f"### {title[0].upper()}{title[1:]}\n",
                  paragraph(f"{fault[0].upper()}{fault[1:]}.") + "\n",
                  scenario_table(ways, scenario), f"![{title}]({pictures}{scenario}.svg)\n"]
    parts.append(paragraph(
        f"Answered: within {PATIENCE_MS / 1000:.0f} s of the intended time, with an order. "
        "Recovered: from the end of the fault until no order is refused or takes more than "
        f"{GOOD_MS} ms, and no earlier order is missing in any service. Left behind: orders that "
        "account-svc does not know, or reservations without an order, when the shop has "
        "settled.") + "\n")
    return "\n".join(parts)


# ---- Pictures ------------------------------------------------------------------------------------

WIDTH, PANEL, LEFT, TOP, GAP, RIGHT = 900, 170, 70, 50, 46, 20


class Panel:
    """One diagram over time: y runs from low to high, on a linear or logarithmic scale."""

    def __init__(self, top, seconds, low, high, title, logarithmic=False):
        self.top, self.seconds, self.low, self.high = top, seconds, low, high
        self.title, self.logarithmic = title, logarithmic

    def x(self, second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / self.seconds

    def y(self, value):
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.top + PANEL * (1 - min(1, max(0, share)))

    def frame(self, ticks, fault):
        out = [
            f'<text x="{LEFT}" y="{self.top - 8}" class="title">{html.escape(self.title)}</text>'
        ]
        if fault:
            width = self.x(fault[1]) - self.x(fault[0])
            out.append(f'<rect x="{self.x(fault[0]):.1f}" y="{self.top}" width="{width:.1f}" '
                       f'height="{PANEL}" class="fault"/>')
        for value in ticks:
            y = self.y(value)
            out.append(
                f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
                f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="tick">{value:,g}</text>')
        for second in range(0, math.floor(self.seconds) + 1, 5 if self.seconds > 12 else 1):
            out.append(f'<text x="{self.x(second):.1f}" y="{self.top + PANEL + 16}" '
                       f'class="second">{second} s</text>')
        return out

    def line(self, points, colour, width):
        """Points (second, value); a missing value interrupts the line."""
        out, run = [], []
        for second, value in points + [(0, None)]:
            if value is not None:
                run.append(f"{self.x(second + STEP_S / 2):.1f},{self.y(value):.1f}")
            elif run:
                # A lone point is drawn twice: the round ends of the line make it a dot.
                points_text = " ".join(run if len(run) > 1 else run * 2)
                out.append(f'<polyline points="{points_text}" stroke="{colour}" '
                           f'stroke-width="{width}" class="line"/>')
                run = []
        return out


STYLE = """text{font:12px sans-serif;fill:#444}.title{font-weight:bold}
.head{font-size:15px;font-weight:bold}.tick{text-anchor:end}.second{text-anchor:middle}
.grid{stroke:#ddd}.fault{fill:#f3d9d9}
.line{fill:none;stroke-linejoin:round;stroke-linecap:round}"""


def picture(ways, scenario):
    """One scenario: the share of orders answered and the p99 latency of each half second."""
    shown = {name: results[scenario] for name, results in ways.items() if scenario in results}
    seconds = max(len(result["steps"]) for result in shown.values()) * STEP_S
    fault = None if scenario == "healthy" else next(iter(shown.values()))["fault"]
    answered = Panel(TOP + 40, seconds, 0, 100, "orders answered, % of those of each half second")
    slowest = Panel(TOP + 40 + PANEL + GAP, seconds, 1, 10000,
                    "p99, ms, from the intended time of each order", True)
    height = slowest.top + PANEL + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">',
        f'<style>{STYLE}</style>', f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" class="head">{html.escape(NAMES[scenario])}: '
        f'{html.escape(SCENARIOS[scenario])}</text>'
    ]
    for i, name in enumerate(shown):
        x, y = LEFT + 275 * (i % 3), 42 + 18 * (i // 3)
        out.append(f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{COLOURS[name]}"/>'
                   f'<text x="{x + 19}" y="{y}">{html.escape(WAYS[name].title)}</text>')
    out += answered.frame([0, 25, 50, 75, 100], fault) + slowest.frame([1, 10, 100, 1000, 10000],
                                                                       fault)
    # The widest line first, so that overlapping lines stay visible.
    for i, (name, result) in enumerate(reversed(shown.items())):
        width = 7 - 1.25 * i
        out += answered.line([(row[0], row[1]) for row in result["steps"]], COLOURS[name], width)
        out += slowest.line([(row[0], row[2]) for row in result["steps"]], COLOURS[name], width)
    return "\n".join(out) + "\n</svg>\n"


if __name__ == "__main__":
    sys.exit(f"compare_report.py is a part of {ROOT}/scripts/compare")
