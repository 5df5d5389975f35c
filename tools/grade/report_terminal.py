"""The report for a terminal: a table, the score, what broke, and each failure with its hint.

Colour only where it is wanted: never with `NO_COLOR` set, nor into a file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from tests.harness.contract import load_sentences
from tools.grade.outcomes import Outcome
from tools.grade.results import Grade, Row, Score, Status, Suggestion
from tools.grade.words import say

WIDTH = 100
SENTENCE = 200  # characters that are shown of one
# What a server says may not move the cursor of whoever reads it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS: dict[Status, str] = {
    "pass": "32",
    "fail": "31",
    "blocked": "33",
    "not_checked": "2",
    "error": "35",
}


def status_word(row: Row, language: str) -> str:
    """Return the status as a person reads it."""
    return say(row.status.replace("_", " "), language)


def because(row: Row, language: str) -> str:
    """Return why a row has its status, where that is not plain; also that it was checked partly."""
    if row.status == "blocked":
        why = f"{say('blocked by', language)} {row.blocked_by}"
        return f"{why}: {row.reason}" if row.reason else why
    if row.reason:
        return say(row.reason.partition("\n")[0], language)
    if row.partly:
        return f"{row.run} {say('of', language)} {row.of}"
    return ""


def score_line(score: Score, language: str) -> str:
    """Return `7 earned / 7 checkable / 7 total`."""
    named = {"earned": score.earned, "checkable": score.checkable, "total": score.total}
    return " / ".join(f"{number} {say(name, language)}" for name, number in named.items())


def suggestions_line(grade: Grade, language: str) -> str:
    """Return `Craft: 3 suggestions`; empty when there is none."""
    count = len(grade.suggestions())
    word = "suggestion" if count == 1 else "suggestions"
    return f"{say('Craft', language)}: {count} {say(word, language)}" if count else ""


def sentences(outcome: Outcome) -> list[str]:
    """Return the sentences of the contract that a test cites: `[E3] Unknown ids answer 404`."""
    known = load_sentences()
    return [f"[{name}] {_cut(known[name].text)}" for name in outcome.cites if name in known]


def _cut(text: str) -> str:
    return text if len(text) <= SENTENCE else text[:SENTENCE].rpartition(" ")[0] + " …"


def render(grade: Grade, *, colour: bool) -> str:
    """Return the report."""
    return "\n".join([*_lines(grade, _Paint(colour)), ""])


def _not_checked_at_all(rows: Sequence[Row]) -> str:
    """Return why none of these rows was checked, when that is one reason for all of them."""
    reasons = {row.reason if row.status == "not_checked" else "" for row in rows}
    return reasons.pop() if len(reasons) == 1 else ""


def _plain(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class _Paint:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def status(self, status: Status, text: str) -> str:
        return self._with(_COLOURS[status], text)

    def bold(self, text: str) -> str:
        return self._with("1", text)

    def dim(self, text: str) -> str:
        return self._with("2", text)

    def _with(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _lines(grade: Grade, paint: _Paint) -> Iterator[str]:
    lang = grade.language
    for number, rows in grade.stages().items():
        title = grade.stage_titles.get(number, "")
        yield paint.bold(f"{say('Stage', lang)} {number}: {title}")
        if alike := _not_checked_at_all(rows):
            yield f"  {say('not checked', lang)}: {say(alike, lang)}"
            yield ""
            continue
        for row in rows:
            word = paint.status(row.status, f"{status_word(row, lang):<12}")
            why = because(row, lang)
            tail = paint.dim(f"  ({why})") if why else ""
            yield f"  {row.id:<4} {word} {row.text}{tail}"
        yield f"       {score_line(Score.of(rows), lang)}"
        yield ""
    if broken := grade.regressions():
        yield paint.bold(say("Regressions in earlier stages", lang))
        yield from (f"  {row.id:<4} {row.text}" for row in broken)
        yield ""
    failing = [row for row in grade.rows if row.status == "fail"]
    if failing:
        yield paint.bold(say("What is wrong", lang))
        for row in sorted(failing, key=lambda row: row.stage != grade.stage):
            yield from _failing(row, lang, paint)
    if advice := grade.suggestions():
        yield paint.bold(suggestions_line(grade, lang))
        yield say("The contract does not ask for these, and they cost nothing.", lang)
        for suggestion in advice:
            yield from _suggestion(suggestion, lang, paint)
        yield ""
    if grade.problem:
        yield paint.bold(say(grade.problem_title, lang)) + f": {_plain(grade.problem)}"
        yield say(grade.problem_note, lang)
        yield ""
    if grade.log and (failing or grade.problem):
        yield paint.bold(say("The server's log ends", lang))
        yield textwrap.indent(_plain(grade.log), "  ")
        yield ""
    if any(row.hint for row in failing):
        yield say(
            "The next hint comes when a row fails in another way, or by --hint 2 and --hint 3.",
            lang,
        )
    yield from grade.notes
    if any(row.partly for row in grade.rows):
        explained = say("tests of the row were run; --thorough runs more", lang)
        yield f"n {say('of', lang)} m: {explained}"
    total = f"{say('Sum', lang)}: {score_line(grade.score, lang)} ({grade.seconds:.0f} s)"
    advised = suggestions_line(grade, lang)
    yield paint.bold(f"{total}. {advised}" if advised else total)


def _suggestion(suggestion: Suggestion, lang: str, paint: _Paint) -> Iterator[str]:
    outcome = suggestion.outcome
    yield f"  {suggestion.row.id:<4} {outcome.sentence}"
    for sentence in sentences(outcome):
        yield paint.dim(f"       {say('contract', lang)}: {sentence}")
    if outcome.expected:
        yield f"       {say('expected', lang)}: {_one_line(outcome.expected)}"
    yield f"       {say('got', lang)}: {_one_line(outcome.got)}"


def _one_line(text: str) -> str:
    return textwrap.shorten(_plain(text), WIDTH, placeholder=" …")


def _failing(row: Row, lang: str, paint: _Paint) -> Iterator[str]:
    yield ""
    yield f"{paint.status('fail', row.id)} {paint.bold(row.text)}"
    if row.failures:
        yield from _failure(row.failures[0], lang, paint)
        if more := len(row.failures) - 1:
            yield f"  {say('more failures of this row', lang)}: {more}"
            yield from (f"    - {failure.sentence}" for failure in row.failures[1:4])
    elif row.reason:
        yield f"  {_plain(row.reason)}"
    if row.hint:
        yield textwrap.fill(
            f"{say('Hint', lang)}: {row.hint}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )


def _failure(failure: Outcome, lang: str, paint: _Paint) -> Iterator[str]:
    yield f"  {say('must hold', lang)}: {failure.sentence}"
    for sentence in sentences(failure):
        yield paint.dim(f"  {say('contract', lang)}: {sentence}")
    if failure.expected:
        yield f"  {say('expected', lang)}: {_plain(failure.expected)}"
    yield f"  {say('got', lang)}: " + _plain(failure.got).replace("\n", "\n    ")
    parts = (
        ("to repeat it", failure.curl),
        ("the exchange", _answer_of(failure.exchange)),
        ("over WebSocket", failure.frames),
        ("the server's log", failure.log),
    )
    for name, text in parts:
        if text:
            yield f"  {say(name, lang)}:"
            yield paint.dim(textwrap.indent(_plain(text), "    "))


def _answer_of(exchange: str) -> str:
    """Return what came back: the request is in the curl line already."""
    _, arrow, answer = exchange.partition("→")
    return arrow + answer
