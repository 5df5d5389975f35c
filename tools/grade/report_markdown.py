"""The report as Markdown: for a pull request, an issue or a learning platform."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tools.grade.report_terminal import (
    because,
    change_line,
    facts,
    hints_of,
    score_line,
    sentences,
    status_word,
    suggestions_line,
    total_line,
)
from tools.grade.results import Grade, Row, Score
from tools.grade.words import say

_MARKS = {"pass": "✅", "fail": "❌", "blocked": "⛔", "not_checked": "▫️", "error": "⚠️"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def render(grade: Grade) -> str:
    """Return the file's text."""
    return "\n".join(_lines(grade))


def _lines(grade: Grade) -> Iterator[str]:
    lang = grade.language
    if grade.is_empty:
        yield f"## {say(grade.problem_title, lang)}\n"
        yield _block(grade.problem)
        return
    yield f"**{total_line(grade, lang)}**\n"
    if grade.changes:
        yield f"{say('Since the last grade', lang)}:\n"
        yield from (f"- {_text(change_line(change, lang))}" for change in grade.changes)
        yield ""
    for number, rows in grade.stages().items():
        yield f"## {say('Stage', lang)} {number}: {_text(grade.stage_titles.get(number, ''))}\n"
        yield f"| | {say('requirement', lang)} | {say('result', lang)} | |"
        yield "|---|---|---|---|"
        for row in rows:
            status = f"{_MARKS[row.status]} {status_word(row, lang)}"
            yield f"| {row.id} | {_text(row.text)} | {status} | {_text(because(row, lang))} |"
        yield f"\n{score_line(Score.of(rows), lang)}\n"
    if broken := grade.regressions():
        yield f"## {say('Regressions in earlier stages', lang)}\n"
        yield from (f"- {row.id} {_text(row.text)}" for row in broken)
        yield ""
    if failing := grade.failing():
        yield f"## {say('Failed requirements', lang)}\n"
        for row in failing:
            yield from _failing(row, lang)
    if todo := grade.left_to_do():
        yield f"{say('Not begun', lang)}: {', '.join(row.id for row in todo)}\n"
    if advice := grade.suggestions():
        yield f"## {suggestions_line(grade, lang)}\n"
        yield say("The contract does not require these, and they cost no points.", lang) + "\n"
        for one in advice:
            outcome = one.outcome
            yield f"- {one.row.id} {_text(outcome.sentence)}"
            yield from (f"  - {_text(sentence)}" for sentence in sentences(outcome))
            if outcome.expected:
                yield f"  - {say('expected', lang)}: {_text(outcome.expected)}"
            yield f"  - {say('got', lang)}: {_text(outcome.got)}"
        yield ""
    if grade.problem:
        yield f"## {say(grade.problem_title, lang)}\n"
        yield _block(grade.problem)
        yield say(grade.problem_note, lang) + "\n"
    yield from (f"- {_text(note)}" for note in grade.notes)


def _failing(row: Row, lang: str) -> Iterator[str]:
    why = because(row, lang)
    yield f"### {row.id} {_text(row.text)}" + (f" ({_text(why)})\n" if why else "\n")
    hints = hints_of(row, lang)
    yield from (f"> {title}: {_text(text)}\n" for title, text in hints[:1])
    for failure in row.failures[:1]:
        yield f"- {say('must hold', lang)}: {_text(failure.sentence)}"
        for sentence in sentences(failure):
            yield f"- {say('contract', lang)}: {_text(sentence)}"
        yield from (f"- {title}: {_text(text)}" for title, text in facts(failure, lang))
        for name, text in (
            ("to repeat it", failure.curl),
            ("over WebSocket", failure.frames),
            ("the server's log", failure.log),
        ):
            if text:
                yield f"\n{say(name, lang)}:\n\n{_block(text)}"
    yield from (f"\n> {title}: {_text(text)}\n" for title, text in hints[1:])


def _text(text: str) -> str:
    """Return the text on one line, escaped for Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(text: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}\n"
