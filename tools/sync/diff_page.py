"""The changes between two stages as one HTML page, without scripts and without other files.

`templates/step.html` is the page; Pygments colours the code. It shows a changed file in two
columns, with three lines around each change, and an added file in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, repeat
from pathlib import Path

import jinja2
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from course.catalog.trees import Entry, content, shown
from tools.sync.lesson import FileChange, Lesson

CONTEXT_LINES = 3
LIGHT, DARK = "xcode", "github-dark"  # styles of Pygments that are readable on the page's colours
# Lines that are less similar than this are shown as one removed and one added line.
ALIKE = 0.5
# The search for the best pairs takes quadratic time; a larger block pairs the n-th with the n-th
# line.
MOST_PAIRS = 2_500
# A control character is invisible or invalid in HTML, so the page shows its symbol.
_PICTURES = {code: 0x2400 + code for code in range(32) if code != 9}
_PLAIN = {"", "w", "n", "o", "p"}  # classes of tokens that need no colour


@dataclass(frozen=True)
class Line:
    """A line of code as tokens, each with its class of Pygments."""

    tokens: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The line itself."""
        return "".join(text for _, text in self.tokens)


@dataclass(frozen=True)
class Side:
    """One side of a row; empty when only the other side has the line."""

    number: int | None = None
    code: str = ""  # HTML
    sign: str = ""


@dataclass(frozen=True)
class Row:
    """Two lines beside each other, or the number of lines left out here."""

    kind: str = "gap"
    old: Side = Side()
    new: Side = Side()
    unchanged: int = 0


@dataclass(frozen=True)
class File:
    """A file of the page: rows with two sides, or the lines of its only side."""

    change: FileChange
    lines: Sequence[Side] = ()
    rows: Sequence[Row] | None = None


def page(root: Path, lesson: Lesson, changes: Sequence[FileChange]) -> str:
    """Return the page: the summary lists all files, and `changes` are shown with their lines."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["shown"] = shown
    first, last = lesson.first, lesson.last
    return environment.get_template("step.html").render(
        title=f"From stage {first.number} to stage {last.number}: {lesson.title}",
        lesson=lesson,
        numbers={change.path: number for number, change in enumerate(changes, 1)},
        features=[
            (feature, [_file(root, change) for change in group])
            for feature, group in groupby(changes, lambda change: change.feature)
        ],
        light=Markup(_colours(LIGHT)),  # noqa: S704 - Pygments made it
        dark=Markup(_colours(DARK)),  # noqa: S704
    )


def _colours(style: str) -> str:
    return "\n".join(HtmlFormatter(style=style).get_token_style_defs("td"))


def _file(root: Path, change: FileChange) -> File:
    if change.binary:
        return File(change)
    if change.before is None or change.after is None:
        lines = _lines(root, change.path, change.before or change.after)
        return File(change, [Side(at, _html(line)) for at, line in enumerate(lines, 1)])
    old = _lines(root, change.path, change.before)
    new = _lines(root, change.path, change.after)
    return File(change, rows=list(_side_by_side(old, new)))


def _lines(root: Path, path: str, entry: Entry | None) -> list[Line]:
    text = "" if entry is None else content(root, entry.blob).decode("utf-8", "replace")
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += " ⟨no newline at the end⟩"
    else:
        del lines[-1]
    return coloured(path, [line.translate(_PICTURES) for line in lines])


def coloured(path: str, lines: Sequence[str]) -> list[Line]:
    """Return the lines as tokens; the name of the file decides the language."""
    try:
        lexer = get_lexer_for_filename(Path(path).name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False, ensurenl=False)
    found: list[list[tuple[str, str]]] = [[]]
    for kind, text in lexer.get_tokens("\n".join(lines)):
        while kind not in STANDARD_TYPES:
            kind = kind.parent
        first, *others = text.split("\n")
        found[-1].append((STANDARD_TYPES[kind], first))
        found += [[(STANDARD_TYPES[kind], other)] for other in others]
    made = [Line(tuple((name, text) for name, text in tokens if text)) for tokens in found]
    if [line.text for line in made] == list(lines):
        return made
    return [Line((("", line),)) for line in lines]  # a byte order mark, which Pygments removes


def _html(line: Line, marked: Sequence[bool] | None = None, tag: str = "") -> Markup:
    """Return the line with an element around each run of `marked` characters."""
    flags = iter(marked if marked is not None else repeat(False))
    pieces = [
        (is_marked, name, "".join(character for character, _ in group))
        for name, text in line.tokens
        # The text comes first, since `zip` would take one flag too many.
        for is_marked, group in groupby(zip(text, flags), key=lambda pair: pair[1])  # noqa: B905
    ]
    html = Markup()
    for is_marked, group in groupby(pieces, key=lambda piece: piece[0]):
        inner = Markup().join(_token(name, text) for _, name, text in group)
        html += Markup("<{0}>{1}</{0}>").format(tag, inner) if is_marked else inner
    return html


def _token(name: str, text: str) -> Markup:
    if name in _PLAIN:
        return escape(text)
    return Markup('<span class="{}">{}</span>').format(name, text)


def _side_by_side(old: Sequence[Line], new: Sequence[Line]) -> Iterator[Row]:
    matcher = SequenceMatcher(
        None, [line.text for line in old], [line.text for line in new], autojunk=False
    )
    shown_until = 0
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        yield from _gap(group[0][1] - shown_until)
        shown_until = group[-1][2]
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                for at in range(old_to - old_from):
                    yield Row(
                        "same",
                        Side(old_from + at + 1, _html(old[old_from + at])),
                        Side(new_from + at + 1, _html(new[new_from + at])),
                    )
                continue
            texts = [[line.text for line in side] for side in (old, new)]
            for left, right in _pairs(texts[0][old_from:old_to], texts[1][new_from:new_to]):
                yield _changed_row(old, new, _moved(left, old_from), _moved(right, new_from))
    yield from _gap(len(old) - shown_until)


def _moved(at: int | None, by: int) -> int | None:
    return None if at is None else at + by


def _gap(lines: int) -> Iterator[Row]:
    if lines > 0:
        yield Row(unchanged=lines)


def _changed_row(
    old: Sequence[Line], new: Sequence[Line], left: int | None, right: int | None
) -> Row:
    kind = "new" if left is None else "old" if right is None else "both"
    gone = come = None
    if left is not None and right is not None:
        gone, come = _marks(old[left].text, new[right].text)
    return Row(
        kind,
        Side() if left is None else Side(left + 1, _html(old[left], gone, "del"), "−"),
        Side() if right is None else Side(right + 1, _html(new[right], come, "ins"), "+"),
    )


def _pairs(old: list[str], new: list[str]) -> list[tuple[int | None, int | None]]:
    """Pair the lines of a replaced block so that similar lines stand side by side, in order."""
    rows, columns = len(old), len(new)
    if rows * columns > MOST_PAIRS:
        longest = range(max(rows, columns))
        return [(i if i < rows else None, i if i < columns else None) for i in longest]
    # best[i][j]: the highest total similarity of the lines from i and from j on.
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    alike = [[_likeness(left, right) for right in new] for left in old]
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            paired = alike[i][j] + best[i + 1][j + 1] if alike[i][j] >= ALIKE else 0.0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < rows or j < columns:
        if i < rows and (j == columns or best[i][j] == best[i + 1][j]):
            pairs.append((i, None))
            i += 1
        elif j < columns and (i == rows or best[i][j] == best[i][j + 1]):
            pairs.append((None, j))
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    return pairs


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)


def _likeness(left: str, right: str) -> float:
    # Lines with only the indentation in common are not similar.
    matcher = SequenceMatcher(None, _words(left.strip()), _words(right.strip()), autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= ALIKE else 0.0


def _marks(left: str, right: str) -> tuple[list[bool], list[bool]]:
    """Return for each character of both lines whether its word changed."""
    old, new = _words(left), _words(right)
    gone: list[bool] = []
    come: list[bool] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone += [kind != "equal"] * len("".join(old[a:b]))
        come += [kind != "equal"] * len("".join(new[c:d]))
    return gone, come
