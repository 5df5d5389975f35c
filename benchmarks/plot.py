"""The picture of the results: a bar for each ratio, and a tick at its target.

    python -m benchmarks.plot    draws results.svg again from results.json

It is as wide as a phone, and follows the reader's light or dark mode, also inside of a page.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, MARGIN = 390, 10
TOP, ROW, BAR = 94, 46, 16  # the head, a comparison, and its bar
TITLE = "Our rate, compared with the floor's"
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1a202c; }
.title { font-weight: bold; font-size: 16px; }
.page { fill: #fff; } .floor { stroke: #718096; stroke-width: 2; stroke-dasharray: 3 3; }
.reached { fill: #2f855a; } .missed { fill: #c53030; } .free { fill: #718096; }
.target { stroke: #1a202c; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .page { fill: #0d1117; } .floor { stroke: #8b949e; }
  .reached { fill: #3fb950; } .missed { fill: #f85149; } .free { fill: #8b949e; }
  .target { stroke: #e6edf3; }
}
"""


@dataclass(frozen=True)
class Bar:
    """One comparison: our rate is `ratio` times the floor's, and `wanted` is the minimum."""

    name: str
    ratio: float
    wanted: float | None

    @property
    def kind(self) -> str:
        """The class of its colour."""
        if self.wanted is None:
            return "free"
        return "reached" if self.ratio >= self.wanted else "missed"


def draw(bars: Sequence[Bar]) -> str:
    """Return an SVG."""
    longest = max(1.0, *(bar.ratio for bar in bars))
    scale = (WIDTH - 2 * MARGIN) / longest
    height = TOP + len(bars) * ROW + MARGIN
    spoken = "; ".join(f"{bar.name}: {figures(bar)}" for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(TITLE)}</title>',
        f'<desc id="description">{escape(spoken)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{MARGIN}" y="24">{escape(TITLE)}</text>',
        *legend(),
    ]
    for number, bar in enumerate(bars):
        y = TOP + number * ROW
        top, end = y + ROW - BAR - 8, MARGIN + bar.ratio * scale
        lines += [
            f'<text x="{MARGIN}" y="{y + 14}">{escape(bar.name)}</text>',
            f'<rect class="{bar.kind}" x="{MARGIN}" y="{top}" width="{end - MARGIN:.1f}"'
            f' height="{BAR}"/>',
            f'<text x="{WIDTH - MARGIN}" y="{y + 14}" text-anchor="end">{sign(bar)}</text>',
            tick("floor", MARGIN + scale, top),
        ]
        if bar.wanted is not None:
            lines.append(tick("target", MARGIN + bar.wanted * scale, top))
    return "\n".join([*lines, "</svg>", ""])


def legend() -> list[str]:
    """Return the meaning of the colours and of the ticks."""
    entries = [("reached", "target reached"), ("missed", "missed ✗"), ("free", "no target")]
    lines = []
    x = MARGIN
    for kind, words in entries:
        lines.append(f'<rect class="{kind}" x="{x}" y="40" width="12" height="12"/>')
        lines.append(f'<text x="{x + 18}" y="51">{words}</text>')
        x += 36 + 8 * len(words)
    for kind, words, x in (("target", "target", MARGIN), ("floor", "1: as fast as the floor", 98)):
        lines.append(tick(kind, x + 6, 61))
        lines.append(f'<text x="{x + 18}" y="74">{words}</text>')
    return lines


def tick(kind: str, x: float, top: float) -> str:
    """Return a line across a bar."""
    return f'<line class="{kind}" x1="{x:.1f}" y1="{top - 3}" x2="{x:.1f}" y2="{top + BAR + 3}"/>'


def sign(bar: Bar) -> str:
    """Return the ratio, with a mark when it misses the target: colour alone tells not everybody."""
    return f"{bar.ratio:.2f}" + (" ✗" if bar.kind == "missed" else "")


def figures(bar: Bar) -> str:
    """Return the ratio and the target in words."""
    wanted = "no target" if bar.wanted is None else f"target {bar.wanted:.2f}"
    return f"{bar.ratio:.2f} ({wanted})"


def main() -> None:
    """Draw the picture of the stored results."""
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))["results"]
    bars = [Bar(result["name"], result["ratio"], result["wanted"]) for result in results]
    (HERE / "results.svg").write_text(draw(bars), encoding="utf-8")


if __name__ == "__main__":
    main()
