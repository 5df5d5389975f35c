"""The lesson between two stages as one HTML page: no script, nothing loaded from elsewhere.

Changed files stand side by side with three lines around each change; added ones in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from pathlib import Path

from tools.lesson import FileChange, Lesson
from tools.trees import Entry, content, shown

CONTEXT_LINES = 3
# Two lines less alike than this are shown as one removed and one added.
ALIKE = 0.5
# Looking for the best pairs takes time quadratic in the block: above this, the n-th with the n-th.
MOST_PAIRS = 2_500
# A control character would be invisible or invalid in HTML: show its picture.
_PICTURES = {code: 0x2400 + code for code in range(32) if code != 9}


def page(root: Path, lesson: Lesson, changes: Sequence[FileChange]) -> str:
    """Return the page; `changes` are shown in full, all of the lesson's are in the summary."""
    first, last = lesson.first, lesson.last
    title = f"From stage {first.number} to stage {last.number}: {last.title}"
    numbers = {change.path: number for number, change in enumerate(changes, 1)}
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>From: <strong>{escape(first.title)}</strong>. {lesson.minutes} minutes.</p>",
        "<ul>",
        *(f"<li>Goal of stage {s.number}: {escape(s.goal)}</li>" for s in lesson.steps),
        "</ul>",
        '<nav aria-labelledby="summary"><h2 id="summary">Summary</h2>',
        *_summary(lesson, numbers),
        "</nav><main>",
    ]
    feature = None
    for change in changes:
        if change.feature != feature:
            feature = change.feature
            parts.append(f"<h2>{escape(feature)}</h2>")
        parts += _file(root, lesson, change, numbers[change.path])
    return _PAGE.format(title=escape(title), style=_STYLE, body="\n".join([*parts, "</main>"]))


def _summary(lesson: Lesson, numbers: dict[str, int]) -> Iterator[str]:
    yield '<table class="summary">'
    for feature, changes in lesson.by_feature():
        yield f'<tbody><tr><th colspan="3" scope="rowgroup">{escape(feature)}</th></tr>'
        for change in changes:
            name = escape(shown(change.path))
            if change.path in numbers:
                name = f'<a href="#file{numbers[change.path]}">{name}</a>'
            else:
                name += " (its text is left out; --full shows it)"
            yield f"<tr><td>{change.verb}</td><td>{name}</td><td>{change.counts}</td></tr>"
        if feature == "requirements":
            for what, names in lesson.packages.rows():
                yield f"<tr><td></td><td>packages {what}: {escape(names)}</td><td></td></tr>"
        yield "</tbody>"
    yield "</table>"


def _file(root: Path, lesson: Lesson, change: FileChange, number: int) -> Iterator[str]:
    yield f'<section id="file{number}"><h3>{escape(shown(change.path))}'
    yield f" <small>{change.verb}, {change.counts}</small></h3>"
    if change.binary:
        yield "<p>A binary file.</p>"
    elif change.before is None or change.after is None:
        side = "old" if change.after is None else "new"
        yield f'<table class="one {side}">'
        for line, text in enumerate(_lines(root, change.before or change.after), 1):
            yield f"<tr>{_cells(line, _code(text))}</tr>"
        yield "</table>"
    else:
        names = (escape(lesson.first.directory), escape(lesson.last.directory))
        yield '<table class="two"><colgroup><col class="n"><col><col class="n"><col></colgroup>'
        yield "<thead><tr>"
        yield from (f'<th colspan="2" scope="col">{name}</th>' for name in names)
        yield "</tr></thead><tbody>"
        yield from _side_by_side(_lines(root, change.before), _lines(root, change.after))
        yield "</tbody></table>"
    yield "</section>"


def _lines(root: Path, entry: Entry | None) -> list[str]:
    text = "" if entry is None else content(root, entry.blob).decode("utf-8", "replace")
    lines = text.split("\n")
    if lines[-1]:
        lines[-1] += " ⟨no newline at the end⟩"
    else:
        del lines[-1]
    return lines


def _side_by_side(old: list[str], new: list[str]) -> Iterator[str]:
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    shown_until = 0
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        yield _gap(group[0][1] - shown_until)
        shown_until = group[-1][2]
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                for at in range(old_to - old_from):
                    code = _code(old[old_from + at])
                    cells = _cells(old_from + at + 1, code) + _cells(new_from + at + 1, code)
                    yield f'<tr class="same">{cells}</tr>'
                continue
            for left, right in _pairs(old[old_from:old_to], new[new_from:new_to]):
                yield _changed_row(old, new, _moved(left, old_from), _moved(right, new_from))
    yield _gap(len(old) - shown_until)


def _moved(at: int | None, by: int) -> int | None:
    return None if at is None else at + by


def _gap(lines: int) -> str:
    if lines <= 0:
        return ""
    plural = "s" * (lines > 1)
    return f'<tr class="gap"><td colspan="4">… {lines} unchanged line{plural} …</td></tr>'


def _changed_row(old: list[str], new: list[str], left: int | None, right: int | None) -> str:
    before = "" if left is None else _code(old[left])
    after = "" if right is None else _code(new[right])
    kind = "new" if left is None else "old"
    if left is not None and right is not None:
        kind = "both"
        before, after = _marked(old[left], new[right])
    old_cells = _cells() if left is None else _cells(left + 1, before, "−")
    new_cells = _cells() if right is None else _cells(right + 1, after, "+")
    return f'<tr class="{kind}">{old_cells}{new_cells}</tr>'


def _cells(line: int | None = None, code: str = "", sign: str = "") -> str:
    return f'<td class="n">{line or ""}{sign}</td><td>{code}</td>'


def _code(text: str) -> str:
    return escape(text.translate(_PICTURES))


def _pairs(old: list[str], new: list[str]) -> list[tuple[int | None, int | None]]:
    """Pair the lines of a replaced block so that alike lines face each other, in order."""
    rows, columns = len(old), len(new)
    if rows * columns > MOST_PAIRS:
        longest = range(max(rows, columns))
        return [(i if i < rows else None, i if i < columns else None) for i in longest]
    # best[i][j]: how alike the lines from i and from j on can be made to be, in total.
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
    # Indentation alone makes no two lines alike.
    matcher = SequenceMatcher(None, _words(left.strip()), _words(right.strip()), autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= ALIKE else 0.0


def _marked(left: str, right: str) -> tuple[str, str]:
    old, new = _words(left), _words(right)
    before = after = ""
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = _code("".join(old[a:b])), _code("".join(new[c:d]))
        if kind != "equal":
            gone, come = gone and f"<del>{gone}</del>", come and f"<ins>{come}</ins>"
        before, after = before + gone, after + come
    return before, after


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

_STYLE = """\
:root { --ink: #1f2328; --paper: #fff; --faint: #59636e; --line: #d1d9e0; --link: #0550ae;
  --old: #ffebe9; --new: #e6ffec; --old-word: #ffb3ad; --new-word: #8ee6a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1; --line: #3d444d; --link: #79b8ff;
    --old: #3c1618; --new: #12311c; --old-word: #8e2b2b; --new-word: #1f6f37; }
}
body { margin: 0 auto; max-width: 100rem; padding: 1rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; }
small { color: var(--faint); font-weight: normal; white-space: nowrap; }
table { border-collapse: collapse; }
.summary th { padding-top: .75rem; }
.summary th, .summary td { text-align: left; vertical-align: top; padding-right: 1rem; }
.summary td:nth-child(2) { overflow-wrap: anywhere; }
.summary td:last-child { white-space: nowrap; }
.one, .two { width: 100%; border: 1px solid var(--line); table-layout: fixed;
  font: .8125rem/1.45 ui-monospace, Menlo, Consolas, monospace; }
.one td, .two td { padding: 0 .5rem; vertical-align: top; white-space: pre-wrap;
  overflow-wrap: anywhere; tab-size: 4; }
.two th { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line); }
.one .n, .two .n { width: 3.5rem; text-align: right; color: var(--faint); user-select: none; }
.two .gap td { color: var(--faint); text-align: center; border: solid var(--line);
  border-width: 1px 0; }
.one.new td, tr.new td:nth-child(n+3), tr.both td:nth-child(n+3) { background: var(--new); }
.one.old td, tr.old td:nth-child(-n+2), tr.both td:nth-child(-n+2) { background: var(--old); }
del { background: var(--old-word); text-decoration: none; }
ins { background: var(--new-word); text-decoration: none; }
@media (max-width: 48rem) {
  .two, .two tbody { display: block; }
  .two thead, .two colgroup, tr.same td:nth-child(-n+2),
  tr.new td:nth-child(-n+2), tr.old td:nth-child(n+3) { display: none; }
  .two tr { display: grid; grid-template-columns: 3.5rem 1fr; }
  .two .gap { display: block; }
  .two .gap td { display: block; }
  .two .n { width: auto; }
  .one .n { width: 2.5rem; }
}
"""
