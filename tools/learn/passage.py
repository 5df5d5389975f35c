"""The passage of a lesson that explains a row: its place, and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from course.catalog.stages import ROOT, Stage
from tools.learn.parts import parts_of

ANSWERS_BEGIN = "## Predict first"  # what follows would tell too much
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")


@dataclass(frozen=True)
class Passage:
    """A paragraph of a lesson, or a row of a table in it."""

    place: str  # such as stage03_jwt_auth/README.md:94
    text: str


def find_passage(stage: Stage, row: str) -> Passage:
    """Return the passage that names most of the functions and files of a row.

    Without such a passage it is the whole lesson, with an empty text.
    """
    lesson = stage.lesson
    parts = parts_of(stage, row)
    names = {name.rpartition(".")[2] for part in parts for name in part.names}
    paths = {part.path for part in parts}
    lines = (ROOT / lesson).read_text(encoding="utf-8").splitlines()
    best = Passage(lesson, "")
    most = 0.0
    for number, text in _passages(lines):
        # A function says more than a file, which a table of all files names too.
        found = sum(bool(re.search(rf"[`.]{name}[`(]", text)) for name in names)
        value = found + sum(f"`{path}`" in text for path in paths) / (len(paths) + 1)
        if value > most:
            most = value
            best = Passage(f"{lesson}:{number}", _LINK.sub(r"\1", " ".join(text.split())))
    return best


def _passages(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield each paragraph and each row of a table with its line, before the answers.

    Blocks of code are left out.
    """
    paragraph: list[str] = []
    in_code = False
    for number, line in enumerate([*lines, ""], 1):
        if line == ANSWERS_BEGIN:
            return
        if line.startswith("```"):
            in_code = not in_code
        ends = in_code or line.startswith(("```", "#", "|", "<")) or not line.strip()
        if ends:
            if paragraph:
                yield number - len(paragraph), "\n".join(paragraph)
            paragraph = []
            if line.startswith("|") and not in_code:
                yield number, line.strip("| ").replace(" | ", ": ")
        else:
            paragraph.append(line)
