"""Draws a dashboard of `deploy/grafana` as an SVG, with the data of a running Prometheus.

    python -m tools.stack.dashboard overview http://127.0.0.1:8005 > dashboard.svg

It draws the panels at their places, and asks Prometheus for their expressions, as Grafana does. So
a picture for the pages needs no Grafana. `--minutes` is the length of the time that it shows.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import httpx

from course.catalog.stages import ROOT

DASHBOARDS = ROOT / "capstone_production" / "deploy" / "grafana" / "dashboards"
POINTS = 120  # of each line
RATE_INTERVAL = "1m"  # Grafana's `$__rate_interval` is at least four scrapes of 10 seconds
COLUMN, ROW, GAP, MARGIN = 40, 27, 8, 8  # pixels; a dashboard has 24 columns
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 34, 42  # of a graph in its panel
LINES = 4  # horizontal ones
COLOURS = ("#3274d9", "#e0752d", "#2e8b57", "#a352cc", "#c4162a", "#b7950b")
STYLE = """
svg { background: #f4f5f5; font: 12px system-ui, sans-serif }
.panel { fill: #fff; stroke: #d8d9da } .title { font-weight: 600 } text { fill: #24292e }
.value { font-size: 30px; font-weight: 600; fill: #1a7f37 } .axis { fill: #57606a; font-size: 11px }
.grid { stroke: #e4e5e6 } .line { fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  svg { background: #111217 } .panel { fill: #181b1f; stroke: #2c3235 } text { fill: #d8d9da }
  .value { fill: #73bf69 } .axis { fill: #9fa7b3 } .grid { stroke: #2c3235 }
}
"""


@dataclass(frozen=True)
class Series:
    """The points of one line: seconds since 1970, and a value that is a number."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """A panel, and its data."""

    title: str
    kind: str  # `stat` or `timeseries`
    unit: str
    x: int
    y: int
    width: int
    height: int
    series: tuple[Series, ...]


def load(name: str, prometheus: str, *, begin: float, end: float) -> list[Panel]:
    """Return the panels of a dashboard with their data of this time, in seconds since 1970."""
    dashboard = json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
    panels = []
    with httpx.Client(base_url=prometheus, trust_env=False, timeout=30) as client:
        for panel in dashboard["panels"]:
            series: list[Series] = []
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
                question = {"query": expression, "start": begin, "end": end}
                question["step"] = (end - begin) / POINTS
                answer = client.get("/api/v1/query_range", params=question).raise_for_status()
                found = answer.json()["data"]["result"]
                series += read_series(found, target.get("legendFormat", ""))
            place = {key: COLUMN * panel["gridPos"][key] for key in ("x", "w")}
            place |= {key: ROW * panel["gridPos"][key] for key in ("y", "h")}
            unit = panel["fieldConfig"]["defaults"].get("unit", "short")
            panels.append(
                Panel(
                    title=panel["title"],
                    kind=panel["type"],
                    unit=unit,
                    x=MARGIN + place["x"],
                    y=MARGIN + place["y"],
                    width=place["w"] - GAP,
                    height=place["h"] - GAP,
                    series=tuple(series),
                )
            )
    return panels


def read_series(found: Iterable[Mapping[str, Any]], legend: str) -> list[Series]:
    """Return the lines of an answer; `{{status}}` in the legend is the value of that label."""
    lines = []
    for one in found:
        labels: Mapping[str, str] = one["metric"]
        name = re.sub(r"{{\s*(\w+)\s*}}", lambda match, of=labels: of.get(match[1], ""), legend)  # type: ignore[misc]
        points = [(float(at), float(value)) for at, value in one["values"]]
        numbers = tuple(point for point in points if math.isfinite(point[1]))
        if numbers:
            lines.append(Series(name, numbers))
    return lines


def draw(title: str, panels: Sequence[Panel], *, begin: float, end: float) -> str:
    """Return the SVG."""
    width = max(panel.x + panel.width for panel in panels) + MARGIN
    height = max(panel.y + panel.height for panel in panels) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
    ]
    for panel in panels:
        lines += [
            f'<rect class="panel" x="{panel.x}" y="{panel.y}" width="{panel.width}"'
            f' height="{panel.height}" rx="3"/>',
            _text(panel.x + 10, panel.y + 20, panel.title, "title"),
        ]
        lines += _stat(panel) if panel.kind == "stat" else _graph(panel, begin, end)
    return "\n".join([*lines, "</svg>", ""])


def in_unit(value: float, unit: str) -> str:
    """Return a value with its unit, as people read it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:.3g} req/s" if unit == "reqps" else f"{value:.3g}"


def _stat(panel: Panel) -> list[str]:
    value = in_unit(panel.series[0].points[-1][1], panel.unit) if panel.series else "no data"
    middle, base = panel.x + panel.width / 2, panel.y + panel.height / 2 + 22
    return [_text(middle, base, value, "value", anchor="middle")]


def _graph(panel: Panel, begin: float, end: float) -> list[str]:
    left, right = panel.x + LEFT, panel.x + panel.width - RIGHT
    top, bottom = panel.y + TOP, panel.y + panel.height - BOTTOM
    highest = max((value for one in panel.series for _, value in one.points), default=0)
    highest = _rounded_up(highest)
    lines = []
    for number in range(LINES + 1):
        y = bottom - (bottom - top) * number / LINES
        lines += [
            f'<path class="grid" d="M{left} {y:.1f}H{right}"/>',
            _text(left - 6, y + 4, in_unit(highest * number / LINES, panel.unit), "axis", "end"),
        ]
    for number in range(3):
        at = begin + (end - begin) * number / 2
        x, anchor = left + (right - left) * number / 2, ("start", "middle", "end")[number]
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        lines.append(_text(x, bottom + 16, clock, "axis", anchor))
    beside = panel.x + 10.0
    for number, one in enumerate(panel.series):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{left + (right - left) * (at - begin) / (end - begin):.1f},"
            f"{bottom - (bottom - top) * value / highest:.1f}"
            for at, value in one.points
        )
        base = panel.y + panel.height - 10
        lines += [
            f'<polyline class="line" stroke="{colour}" points="{points}"/>',
            f'<path stroke="{colour}" stroke-width="3" d="M{beside:.0f} {base - 4}h11"/>',
            _text(beside + 15, base, one.name, "axis"),
        ]
        beside += 22 + 6.2 * len(one.name)
    return lines


def _rounded_up(value: float) -> float:
    """Return the next of 1, 2, 4, 6, 8, 10, 20 …, so that the lines have short numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 6, 8, 10) if value <= power * step)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def main(arguments: Sequence[str]) -> int:
    """Print the SVG."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = sorted(Path(file).stem for file in DASHBOARDS.glob("*.json"))
    parser.add_argument("dashboard", choices=known)
    parser.add_argument("prometheus", help="its URL")
    parser.add_argument("--minutes", type=float, default=30, help="default: %(default)g")
    options = parser.parse_args(arguments)
    end = time.time()
    begin = end - 60 * options.minutes
    panels = load(options.dashboard, options.prometheus, begin=begin, end=end)
    title = f"The dashboard {options.dashboard}, with data of a running stack"
    sys.stdout.write(draw(title, panels, begin=begin, end=end))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
