"""The picture of the results: a bar for each ratio, and a line at the required ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, BAR, GAP, TOP = 760, 22, 16, 34
LEFT, RIGHT = 330, 60  # the space beside the bars, for the names and the figures
GREEN, RED, INK, GRID = "#2f855a", "#c53030", "#1a202c", "#cbd5e0"


@dataclass(frozen=True)
class Bar:
    """One comparison: our rate is `ratio` times the floor's, and `wanted` is the minimum."""

    name: str
    ratio: float
    wanted: float


def draw(bars: Sequence[Bar]) -> str:
    """Return an SVG."""
    longest = max(1.0, *(bar.ratio for bar in bars))
    scale = (WIDTH - LEFT - RIGHT) / longest
    height = TOP + len(bars) * (BAR + GAP) + 10
    one = LEFT + scale
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{height}" stroke="{GRID}"/>',
        f'<text x="{one:.1f}" y="18" text-anchor="middle">1 = the floor</text>',
    ]
    for number, bar in enumerate(bars):
        y = TOP + number * (BAR + GAP)
        middle, end, goal = y + BAR / 2 + 5, LEFT + bar.ratio * scale, LEFT + bar.wanted * scale
        colour = GREEN if bar.ratio >= bar.wanted else RED
        lines += [
            f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<line x1="{goal:.1f}" y1="{y - 5}" x2="{goal:.1f}" y2="{y + BAR + 5}"'
            f' stroke="{INK}" stroke-width="2"/>',
            f'<text x="{end + 6:.1f}" y="{middle}">{bar.ratio:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
