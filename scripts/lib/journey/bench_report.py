"""Bench's report: the figures of a run, the ratios first, each beside what was asked for; as text, JSON and Markdown."""
import sys

BUSY_LOAD = 0.25                       # a core; from there on others are in the way
SIGNS = {">=": "≥", "<=": "≤"}


def number(value):
    """Three digits that count, and no more noise than that."""
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
        """shown: a text in the place of value and unit; point: which of several the value is; rounds: what it was made of."""
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
        return [figure for figure in self.figures.values() if figure["unit"] and figure["section"] == section]


def shown(figure):
    return figure.get("shown") or f"{number(figure['value']):>9} {figure['unit']}".rstrip()


def line(figure):
    asked = asked_text(figure)
    verdict = f"   asked: {asked}, {'reached' if figure['reached'] else 'NOT reached'}" if asked else ""
    return f"  {figure['title']:<68} {shown(figure):<20}{verdict}".rstrip()


def caution(machine):
    """A single commit, or a request one at a time, then waits until the kernel takes the processor from others: milliseconds."""
    if machine["load"] < BUSY_LOAD * machine["cores"]:
        return []
    return [f"Others computed on this machine when it began (load average {machine['load']}): latencies, and floors of single commits, are "
            "mostly their turns."]


def text(report):
    lines = caution(report.about["machine"]) + ["ratios, within this run"] + [line(figure) for figure in report.ratios()]
    for section in report.sections():
        if figures := report.absolutes(section):
            lines += ["", section] + [line(figure) for figure in figures]
    return "\n".join(lines)


def markdown(report):
    def row(figure):
        verdict = {True: "reached", False: "**not reached**"}.get(figure.get("reached"), "")
        return f"| {figure['title'].strip()} | {' '.join(shown(figure).split())} | {asked_text(figure)} | {verdict} |"
    about, machine = report.about, report.about["machine"]
    lines = [f"`{about['command']}`, {about['date']}, on {machine['cores']} cores ({machine['cpu']}), Linux {machine['kernel']}, "
             f"nats-server {machine['server']}, SQLite {machine['sqlite']}; other work on the machine when it began: {machine['load']} "
             "(load average).", *caution(machine), ""]
    parts = [("Ratios", report.ratios())] + [(section, report.absolutes(section)) for section in report.sections()]
    for title, figures in parts:
        if figures:
            lines += [f"| {title} | here | asked | |", "|---|---:|---:|---|"] + [row(figure) for figure in figures] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit("bench_report.py is a part of scripts/bench")
