"""Bench's report: the figures of a run, ratios first, each beside its target; as text, JSON and
Markdown."""
import sys

from journey.measuring import paragraph

BUSY_LOAD = 0.25  # load average per core above which other work disturbs the run
SIGNS = {">=": "≥", "<=": "≤"}


def number(value):
    """Three significant digits."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def asked_text(figure):
    if "asked" not in figure:
        return ""
    sign, value = figure["asked"]
    return f"{figure.get('point', '')} {SIGNS[sign]} {value:,g}".strip()


def is_reached(value, asked):
    return value is not None and (value >= asked[1] if asked[0] == ">=" else value <= asked[1])


class Report:
    """Sections add figures as they go; a ratio is a figure without a unit."""

    def __init__(self):
        self.about, self.figures = {}, {}

    def add(self, key, title, value, unit="", asked=None, section="", **more):
        """shown: a text instead of value and unit; point: the percentile of the value; rounds: the
        values of each round."""
        figure = {"title": title, "value": value, "unit": unit, "section": section, **more}
        if asked:
            figure |= {"asked": list(asked), "reached": is_reached(value, asked)}
        self.figures[key] = figure

    def sections(self):
        return list(dict.fromkeys(figure["section"] for figure in self.figures.values()))

    def json(self):
        return {**self.about, "figures": self.figures}

    def ratios(self):
        return [figure for figure in self.figures.values() if not figure["unit"]]

    def absolutes(self, section):
        return [
            figure for figure in self.figures.values()
            if figure["unit"] and figure["section"] == section
        ]


def shown(figure):
    return figure.get("shown") or f"{number(figure['value']):>9} {figure['unit']}".rstrip()


def line(figure):
    asked = asked_text(figure)
    reached = "reached" if figure.get("reached") else "NOT reached"
    verdict = f"   target: {asked}, {reached}" if asked else ""
    return f"  {figure['title']:<68} {shown(figure):<20}{verdict}".rstrip()


def caution(machine):
    """On a busy machine a single commit or request waits milliseconds for a processor."""
    if machine["load"] < BUSY_LOAD * machine["cores"]:
        return []
    return [f"Other work ran on this machine at the start (load average {machine['load']}): "
            "latencies, and floors of single commits, are mostly scheduling delays."]


def text(report):
    lines = caution(report.about["machine"]) + ["ratios, within this run"]
    lines += [line(figure) for figure in report.ratios()]
    for section in report.sections():
        if figures := report.absolutes(section):
            lines += ["", section] + [line(figure) for figure in figures]
    return "\n".join(lines)


def markdown(report):
    def row(figure):
        verdict = {True: "reached", False: "**not reached**"}.get(figure.get("reached"), "")
        value = " ".join(shown(figure).split())
        return f"| {figure['title'].strip()} | {value} | {asked_text(figure)} | {verdict} |"
    about, machine = report.about, report.about["machine"]
    head = (f"`{about['command']}`, {about['date']}, on {machine['cores']} cores "
            f"({machine['cpu']}), Linux {machine['kernel']}, nats-server {machine['server']}, "
            f"SQLite {machine['sqlite']}; load average at the start: {machine['load']}"
            + (f", at the end: {machine['load_at_end']}." if "load_at_end" in machine else "."))
    lines = [paragraph(" ".join([head, *caution(machine)])), ""]
    parts = [("Ratios", report.ratios())]
    parts += [(section, report.absolutes(section)) for section in report.sections()]
    for title, figures in parts:
        if figures:
            lines += [f"| {title} | here | target | |", "|---|---:|---:|---|"]
            lines += [row(figure) for figure in figures] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit("bench_report.py is a part of scripts/bench")
