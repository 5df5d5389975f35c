"""The report for a terminal: a table, the failures with their hints, the changes, the score.

If nothing could be graded, it is one line and the log of a server that did not start.

It uses no colour with `NO_COLOR`, and none in a file.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from course.harness.contract import load_sentences
from tools.grade.outcomes import Outcome
from tools.grade.results import Change, Grade, Row, Score, Status, Suggestion
from tools.grade.words import say, say_value, tell

WIDTH = 100
SENTENCES = 2  # sentences of the contract that are shown for a test
SENTENCE = 200  # characters that are shown of one sentence
# A server's output must not move the reader's cursor.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOURS: dict[Status, str] = {
    "pass": "32",
    "fail": "31",
    "blocked": "33",
    "not_checked": "2",
    "error": "35",
}


def status_word(row: Row, language: str) -> str:
    """Return the status in words, with the row that it waits for."""
    if row.todo:
        return say("to do", language)
    if row.waiting_for:
        return f"{say('waiting for', language)} {row.waiting_for}"
    if row.status == "blocked" and row.blocked_by:
        return f"{say('blocked by', language)} {row.blocked_by}"
    return say(row.word, language)


def because(row: Row, language: str) -> str:
    """Return the reason for a row's status, or the number of its tests that ran."""
    if row.todo:
        return f"TODO {row.todo}"
    if row.reason:
        return say(row.reason.partition("\n")[0], language)
    if row.status == "fail" and row.run:
        counts = {"run": row.run, "failed": row.failing}
        return tell("{run} run, {failed} failed", language, **counts)
    return ""


def hints_of(row: Row, language: str) -> list[tuple[str, str]]:
    """Return the hints of a failed row with their titles; that of its first failure is first."""
    of_test = row.failures[0].hint if row.failures else ""
    if not of_test:
        return [(say("Hint", language), row.hint)] if row.hint else []
    of_row = [(say("About the requirement", language), row.hint)] if row.hint else []
    return [(say("Hint", language), of_test), *of_row]


def facts(failure: Outcome, language: str) -> list[tuple[str, str]]:
    """Return the request, the expected and the actual answer, with titles."""
    raised = failure.exception
    if failure.place:
        raised += f"\n{failure.place}" + (f": {failure.source}" if failure.source else "")
    parts = (
        ("sent", failure.sent),
        ("expected", say_value(failure.expected, language)),
        ("got", say_value(failure.got, language)),
        ("exception", raised),
    )
    return [(say(name, language), text) for name, text in parts if text]


def change_line(change: Change, language: str) -> str:
    """Return the change of a row: `3.1: 48 → 28 failing`."""

    def told(word: str, failing: int) -> str:
        if word == "fail":
            return tell("{failing} failing", language, failing=failing)
        return say(word, language)

    if change.before == change.now == "fail":
        counts = {"before": change.failing_before, "failing": change.failing}
        return f"{change.row}: {tell('{before} → {failing} failing', language, **counts)}"
    before = told(change.before, change.failing_before)
    return f"{change.row}: {before} → {told(change.now, change.failing)}"


def work_line(grade: Grade, language: str) -> str:
    """Return how many tests pass in the rows in work; empty without such rows."""
    passed, run = grade.tests_in_work
    if not run:
        return ""
    return tell("In work: {passed} of {run} tests pass", language, passed=passed, run=run)


def total_line(grade: Grade, language: str, *, seconds: str = "") -> str:
    """Return the sums of rows, of tests in rows in work, and of suggestions."""
    total = f"{say('Sum', language)}: {score_line(grade.score, language)}{seconds}"
    parts = (total, work_line(grade, language), suggestions_line(grade, language))
    return ". ".join(part for part in parts if part)


def score_line(score: Score, language: str) -> str:
    """Return `7 earned / 7 checkable / 7 total`."""
    named = {"earned": score.earned, "checkable": score.checkable, "total": score.total}
    return " / ".join(f"{number} {say(name, language)}" for name, number in named.items())


def suggestions_line(grade: Grade, language: str) -> str:
    """Return `Craft: 3 suggestions`, or empty."""
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


def _alike(rows: Sequence[Row], lang: str) -> str:
    """Return the text that is the same for all these rows; otherwise empty."""
    if all(row.word == "waiting" for row in rows) and len({row.waiting_for for row in rows}) == 1:
        return status_word(rows[0], lang)
    reasons = {row.reason if row.status == "not_checked" else "" for row in rows}
    reason = reasons.pop() if len(reasons) == 1 else ""
    return f"{say('not checked', lang)}: {say(reason, lang)}" if reason else ""


def plain(text: str) -> str:
    """Return the text without characters that would move the cursor."""
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
    if grade.is_empty:
        yield from _problem(grade, paint)
        return
    for number, rows in grade.stages().items():
        yield from _stage(number, rows, grade, paint)
    if broken := grade.regressions():
        yield paint.bold(say("Regressions in earlier stages", lang))
        yield from (f"  {row.id:<4} {row.text}" for row in broken)
        yield ""
    if failing := grade.failing():
        yield paint.bold(say("Failed requirements", lang))
        if grade.start and any(failure.curl for row in failing for failure in row.failures):
            title = say("The curl commands need your own server. Start it with", lang)
            yield f"{title}: {grade.start}"
        for row in failing:
            yield from _failing(row, lang, paint)
        yield ""
    if todo := grade.left_to_do():
        yield f"{paint.bold(say('Not begun', lang))}: {', '.join(row.id for row in todo)}"
        yield ""
    if advice := grade.suggestions():
        yield paint.bold(suggestions_line(grade, lang))
        yield say("The contract does not require these, and they cost no points.", lang)
        for suggestion in advice:
            yield from _suggestion(suggestion, lang, paint)
        yield ""
    if grade.problem:
        yield from _problem(grade, paint)
        yield ""
    if any(row.hint for row in failing):
        yield say(
            "You get the next hint when the row fails in another way, or with --hint 2 or --hint "
            "3.",
            lang,
        )
    yield from grade.notes
    if any(row.partly for row in grade.rows):
        yield say("A quick look runs a part of the tests; --thorough runs all.", lang)
    yield from _changes(grade, paint)
    took = tell("({seconds} s)", lang, seconds=f"{grade.seconds:.0f}")
    yield paint.bold(total_line(grade, lang, seconds=f" {took}"))


def _stage(number: int, rows: Sequence[Row], grade: Grade, paint: _Paint) -> Iterator[str]:
    lang = grade.language
    yield paint.bold(f"{say('Stage', lang)} {number}: {grade.stage_titles.get(number, '')}")
    if alike := _alike(rows, lang):
        yield f"  {alike}"
        yield ""
        return
    for row in rows:
        word = paint.status(row.status, f"{status_word(row, lang):<16}")
        why = because(row, lang)
        tail = paint.dim(f"  ({why})") if why else ""
        yield f"  {row.id:<4} {word} {row.text}{tail}"
    yield f"       {score_line(Score.of(rows), lang)}"
    yield ""


def _problem(grade: Grade, paint: _Paint) -> Iterator[str]:
    lang = grade.language
    yield paint.bold(say(grade.problem_title, lang)) + f": {plain(grade.problem)}"
    if "\n" in grade.problem or not grade.is_empty:
        yield say(grade.problem_note, lang)
    if grade.log:
        yield paint.bold(say("End of the server's log", lang))
        yield textwrap.indent(plain(grade.log), "  ")


def _changes(grade: Grade, paint: _Paint) -> Iterator[str]:
    lang = grade.language
    if grade.changes is None:
        return
    if not grade.changes:
        yield say("Nothing has changed since the last grade.", lang)
        return
    yield paint.bold(say("Since the last grade", lang))
    yield from (f"  {change_line(change, lang)}" for change in grade.changes)


def _suggestion(suggestion: Suggestion, lang: str, paint: _Paint) -> Iterator[str]:
    outcome = suggestion.outcome
    yield f"  {suggestion.row.id:<4} {outcome.sentence}"
    for sentence in sentences(outcome):
        yield paint.dim(f"       {say('contract', lang)}: {sentence}")
    if outcome.expected:
        yield f"       {say('expected', lang)}: {_one_line(outcome.expected)}"
    yield f"       {say('got', lang)}: {_one_line(outcome.got)}"


def _one_line(text: str) -> str:
    return textwrap.shorten(plain(text), WIDTH, placeholder=" …")


def _failing(row: Row, lang: str, paint: _Paint) -> Iterator[str]:
    yield ""
    why = because(row, lang)
    yield f"{paint.status('fail', row.id)} {paint.bold(row.text)}" + (f" ({why})" if why else "")
    hints = hints_of(row, lang)
    yield from (_wrapped(title, text) for title, text in hints[:1])
    if row.failures:
        yield from _failure(row.failures[0], lang, paint)
        if more := row.failing - 1:
            yield f"  {say('more failures of this row', lang)}: {more}"
            yield from (f"    - {failure.sentence}" for failure in row.failures[1:4])
    yield from (_wrapped(title, text) for title, text in hints[1:])


def _wrapped(title: str, text: str) -> str:
    text = f"{title}: {plain(text)}"
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _failure(failure: Outcome, lang: str, paint: _Paint) -> Iterator[str]:
    yield f"  {say('must hold', lang)}: {failure.sentence}"
    for sentence in sentences(failure)[:SENTENCES]:
        yield paint.dim(f"  {say('contract', lang)}: {sentence}")
    for title, text in facts(failure, lang):
        yield f"  {title}: " + plain(text).replace("\n", "\n    ")
    parts = (
        ("to repeat it", failure.curl),
        ("over WebSocket", failure.frames),
        ("the server's log", failure.log),
    )
    for name, text in parts:
        if text:
            yield f"  {say(name, lang)}:"
            yield paint.dim(textwrap.indent(plain(text), "    "))
