"""The report of the drills: a table, the same table as Markdown, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tools.drill.record import KINDS, Difference, Record

HEADINGS = (
    "drill", "errors seen", "failed before the retry", *KINDS, "lost", "doubled", "and",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """The result of one drill."""

    number: int
    title: str
    record: Record
    note: str
    difference: Difference

    def cells(self) -> list[str]:
        """Return the row of the table, one text for each of `HEADINGS`."""
        record = self.record
        what = [
            f"{count} × {kind} {status}"
            for kind, counter in record.errors.items()
            for status, count in counter.items()
        ]
        return [
            f"{self.number}. {self.title}",
            f"{record.error_count()} of {record.attempts}",
            str(record.failed_attempts),
            *(f"{record.longest_outage(kind):.1f}" for kind in KINDS),
            str(len(self.difference.lost)),
            str(len(self.difference.doubled)),
            "; ".join([*what, self.note] if self.note else what),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        record = self.record
        return {
            "number": self.number,
            "title": self.title,
            "note": self.note,
            "seconds": round(record.ended - record.began, 1),
            "attempts": record.attempts,
            "failed_attempts": record.failed_attempts,
            "errors": {kind: dict(counter) for kind, counter in record.errors.items()},
            "longest_outage": {kind: round(record.longest_outage(kind), 2) for kind in KINDS},
            "acknowledged": {kind: len(texts) for kind, texts in record.acknowledged.items()},
            "lost": self.difference.lost,
            "doubled": self.difference.doubled,
        }


def as_text(results: Sequence[Result]) -> str:
    """Return the table for a terminal; a drill's sentence stands below its row."""
    rows = [result.cells() for result in results]
    table = [list(HEADINGS[:-1]), *(row[:-1] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row, said in zip(table, ["", *(row[-1] for row in rows)], strict=True):
        lines.append("  ".join(map(str.ljust, row, widths)).rstrip())
        if said:
            lines.append(f"     {said}")
    return "\n".join(lines)


def as_markdown(results: Sequence[Result]) -> str:
    """Return the table for a page."""
    rule = ["---"] + ["---:"] * (len(HEADINGS) - 2) + ["---"]
    rows = [HEADINGS, rule, *(result.cells() for result in results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
