"""The loop: one row, one failure, one hint; after each save only the tests of the current row.

When a row passes, one line says so and the next row begins. Then the passed rows are checked again;
a row that fails now becomes the current row.
"""

from __future__ import annotations

import queue
import re
import textwrap
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from course.catalog.parts import runtime_of
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import Stage, load_course
from tools.grade.hints import KINDS, load_hints
from tools.grade.outcomes import Outcome
from tools.grade.report_terminal import facts, plain, sentences
from tools.grade.results import Row
from tools.grade.unbegun import not_begun
from tools.learn import parts
from tools.learn.finished import texts_of_rows
from tools.learn.keys import BY_KEY
from tools.learn.passage import find_passage
from tools.learn.runs import Bench, Interrupted, Look
from tools.learn.screen import Board, Line, View
from tools.learn.starter import LAST_STAGE_IN_NODE
from tools.learn.state import State, write_state
from tools.learn.words import say

SAVED = "saved"  # an event beside the commands of `keys.py`
_IGNORED = re.compile(r"(^|/)(\.[^/]+|__pycache__|media|[^/]*\.db(-\w+)?|[^/]*\.(jsonl|tmp))(/|$)")


class Loop:
    """Goes through the rows of a stage with a learner, until all pass or they quit."""

    def __init__(
        self,
        stage: Stage,
        directory: Path,
        state: State,
        events: queue.Queue[str],
        view: View,
        *,
        by_key: bool,
    ) -> None:
        self._stage = stage
        self._directory = directory
        self._state = state
        self._events = events
        self._view = view
        self._show = view.show
        self._by_key = by_key
        self._hints = load_hints()
        known = {row.id: row for row in load_requirements()}
        self._runtime = runtime_of(directory)
        self._rows = [known[row] for row in parts.rows_in_order(stage, self._runtime)]
        self._texts = texts_of_rows(self._runtime, state.language)
        self._waits: dict[str, str] = {}  # rows that need another one first
        self._failure: Outcome | None = None
        self._asked_to_compare = ""
        self._last_passed = ""
        self._starts = True  # the server, in the last check

    # --- Output

    def _say(self, text: str, **values: object) -> str:
        return say(text, self._state.language, **values)

    def _tell(self, text: str, **values: object) -> None:
        self._show(self._say(text, **values))

    def board(self) -> Board:
        """Return the state of the stage."""
        titles = self._hints.titles(self._state.language)
        stage, chapter = self._stage, self._stage.chapter
        title = titles.get(stage.number, stage.title) if chapter is None else stage.title
        todos = parts.todos_in(self._directory)
        row = self.current
        now = []
        if row is not None:
            now = [f"{self._say('Now')}: {row.id} {self._text(row)}"]
            write = self._say("Write")
            now += [f"  {write}: {one.path}:{one.line}" for one in todos if row.id in one.rows]
        return Board(
            head=(
                self._say("Stage {number}: {title}", number=stage.step, title=title),
                f"{self._say('Your directory')}: {self._directory}",
                f"{self._say('The lesson')}: {stage.lesson}",
            ),
            rows=tuple(self._list(todos, row)),
            current=None if row is None else self._rows.index(row),
            now=tuple(now),
            keys=self._keys(),
            count=f"{len(self._rows) - len(self._open())}/{len(self._rows)}",
        )

    def _keys(self) -> str:
        keys = "  ".join(f"{key} {command}" for key, command in BY_KEY.items())
        named = self._say("hint, all, list, lesson, compare, reset, quit")
        words = f"{named} ({self._say('type a word and Enter')})"
        return f"{self._say('keys')}: {keys if self._by_key else words}"

    def _list(self, todos: Sequence[parts.Todo], current: Requirement | None) -> Iterator[Line]:
        """Yield each row with its state."""
        left = {row for todo in todos for row in todo.rows}
        for row in self._rows:
            if row.id in self._state.passed:
                mark, word, style = "✓", "passed", "green"
            elif row.id in left:
                mark, word, style = "·", "to do", "dim"
            else:
                mark, word, style = "…", "in work", "yellow"
            if row == current:
                mark, style = ">", "bold"
            yield Line(f" {mark} {row.id:<4} {self._say(word):<10} {self._text(row)}", style)

    def _list_rows(self) -> None:
        for line in self._list(parts.todos_in(self._directory), self.current):
            self._show(line.text, line.style)

    def _text(self, row: Requirement | Row) -> str:
        own = self._texts.get(row.id)
        return own or self._hints.text(row.id, self._state.language, row.text)

    # Which row it is

    @property
    def current(self) -> Requirement | None:
        """The current row: the first that has not passed and waits for no other."""
        open_rows = [row for row in self._rows if row.id not in self._state.passed]
        free = [row for row in open_rows if self._waits.get(row.id) not in _ids(open_rows)]
        return next(iter(free or open_rows), None)

    # The loop

    def run(self, bench: Bench) -> bool:
        """Continue until all rows pass (true) or the learner quits (false)."""
        self._update()
        anew = True
        while True:
            if anew:
                self._update()
                self._view.begin()
                anew = self._after_a_save(bench)
                self._update()
                if anew:
                    continue
                if self.current is None and self._starts:
                    self._finished()
                    return True
            self._view.ready()
            event = self._events.get()
            if event == "quit":
                self._tell("Your progress is saved. To continue: python3 noxfile.py learn")
                return False
            if event == SAVED:
                anew = True
            else:
                self._command(event, bench)

    def _update(self) -> None:
        self._view.board(self.board())

    def _after_a_save(self, bench: Bench) -> bool:
        """Check the current row, then the passed rows; return whether a file was saved."""
        self._starts = True
        try:
            anew = True
            while (row := self.current) is not None:
                if row.id in self._not_begun():
                    break  # nothing to check: its TODOs are already shown
                self._busy()
                look = bench.look([row], self._is_interrupted, anew=anew)
                anew = False
                if look.problem:
                    self._cannot_start(look)
                    return False
                if not self._take(row, look):
                    break
                self._update()
            self._look_again(bench, anew=anew)
        except Interrupted:
            return self._take_saves()
        return False

    def _is_interrupted(self) -> bool:
        with self._events.mutex:
            return any(event in (SAVED, "quit") for event in self._events.queue)

    def _take_saves(self) -> bool:
        """Remove saves from the queue and leave the commands; return whether there was a save."""
        kept, saved = [], False
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            saved |= event == SAVED
            if event != SAVED:
                kept.append(event)
        for event in kept:
            self._events.put(event)
        return saved

    def _take(self, row: Requirement, look: Look) -> bool:
        """Show the results of the current row; return whether to continue with another row."""
        (found,) = look.rows
        if found.status == "pass":
            self._pass(row, look.seconds)
            return True
        if found.status == "not_checked":
            self._tell("{row}: no test of the contract. Compare it: `compare`", row=row.id)
            self._keep(row)
            return True
        other = _waits_for(found)
        if other and other != row.id and other in _ids(self._open()):
            self._waits[row.id] = other
            self._tell("{row} waits for {other}: go on with {other}", row=row.id, other=other)
            return self.current is not None and self.current.id != row.id
        self._fail(row, found, look.seconds)
        return False

    def _busy(self) -> None:
        self._view.busy(self._say("Checking …"))

    def _cannot_start(self, look: Look) -> None:
        self._starts = False
        self._tell("The server does not start ({seconds:.1f} s)", seconds=look.seconds)
        self._show(textwrap.indent(plain(look.problem), "  "))

    def _not_begun(self) -> set[str]:
        """Return the rows whose parts are all unchanged from the starter."""
        return not_begun(self._directory, self._stage)

    def _open(self) -> list[Requirement]:
        return [row for row in self._rows if row.id not in self._state.passed]

    def _keep(self, row: Requirement) -> None:
        """Store that a row is done."""
        self._state.passed.append(row.id)
        self._state.hints.pop(row.id, None)
        self._waits = {name: other for name, other in self._waits.items() if other != row.id}
        self._failure, self._last_passed = None, row.id
        write_state(self._directory, self._state)

    def _pass(self, row: Requirement, seconds: float) -> None:
        self._keep(row)
        text = self._say("{row} passes ({seconds:.1f} s)", row=row.id, seconds=seconds)
        self._show(f"✓ {text}", "green")

    def _fail(self, row: Requirement, found: Row, seconds: float) -> None:
        self._failure = found.failures[0] if found.failures else None
        if found.todo or (self._failure is not None and self._failure.todo):
            self._failure = None
            self._tell("{row} is not begun ({seconds:.1f} s)", row=row.id, seconds=seconds)
            return
        text = "{row} does not pass yet ({passed} of {of} tests, {seconds:.1f} s)"
        passed = found.run - found.failing
        said = self._say(text, row=row.id, passed=passed, of=found.run, seconds=seconds)
        self._show(f"✗ {said}", "red")
        if self._failure is None:
            self._show(f"  {found.reason}")
            return
        language = self._state.language
        self._show(f"  {self._say('must hold')}: {self._failure.sentence}")
        for sentence in sentences(self._failure)[:1]:
            self._show(f"  {sentence}", "dim")
        for title, value in facts(self._failure, language):
            self._show(f"  {title}: " + plain(value).replace("\n", "\n    "))

    def _look_again(self, bench: Bench, *, anew: bool) -> None:
        """Check the passed rows; the first that fails becomes the current row again."""
        passed = [row for row in self._rows if row.id in self._state.passed]
        if not passed:
            return
        self._busy()
        look = bench.look(passed, self._is_interrupted, anew=anew)
        if look.problem:
            self._cannot_start(look)
            return
        for found in look.rows:
            if found.status == "fail" and not _waits_for(found):
                self._state.passed.remove(found.id)
                write_state(self._directory, self._state)
                self._tell("{row} was passed and fails now", row=found.id)
                self._update()
                row = next(row for row in self._rows if row.id == found.id)
                self._fail(row, found, look.seconds)
                return

    def _finished(self) -> None:
        number, following = self._stage.step, _step_after(self._stage)
        if self._runtime == "node":
            following = f"{following} --node" * (self._stage.number < LAST_STAGE_IN_NODE)
        self._show("")
        if following:
            text = "All rows of stage {number} pass. Next: python3 noxfile.py learn {next}"
            self._show(self._say(text, number=number, next=following), "bold green")
        else:
            text = "All rows of stage {number} pass. That was the last starter."
            self._show(self._say(text, number=number), "bold green")

    # Commands

    def _command(self, word: str, bench: Bench) -> None:
        match word:
            case "hint":
                self._hint()
            case "all":
                self._look_at_all(bench)
            case "list":
                self._list_rows()
            case "lesson":
                self._lesson()
            case "compare":
                self._compare()
            case "reset":
                self._reset()
            case _:
                self._tell("There is no command {word}.", word=plain(word))
        if word != "compare":
            self._asked_to_compare = ""

    def _hint(self) -> None:
        row = self.current
        if row is None:
            return
        shown = self._state.hints.get(row.id, 0)
        language = self._state.language
        texts = [self._hints.of_test(self._failure, language) if self._failure else ""]
        texts += [self._hints.hint(row.id, n, language) for n in range(1, len(KINDS) + 1)]
        texts = list(dict.fromkeys(text for text in texts if text))
        if shown >= len(texts):
            text = "No further hint. The lesson explains it: {place}"
            self._tell(text, place=find_passage(self._stage, row.id).place)
            return
        self._state.hints[row.id] = shown + 1
        write_state(self._directory, self._state)
        self._view.paragraph(f"{self._say('hint')} {shown + 1}/{len(texts)}: {texts[shown]}")

    def _look_at_all(self, bench: Bench) -> None:
        self._tell("Checking all rows …")
        self._busy()
        try:
            look = bench.look(self._rows, self._is_interrupted, anew=False)
        except Interrupted:
            return
        if look.problem:
            self._cannot_start(look)
        for row in look.rows:
            passes = row.status == "pass"
            mark, style = ("✓", "green") if passes else ("✗", "red")
            tests = "" if passes else f" ({row.run - row.failing}/{row.run})"
            self._show(f" {mark} {row.id:<4} {self._text(row)}{tests}", style)

    def _lesson(self) -> None:
        row = self.current
        if row is None:
            return
        passage = find_passage(self._stage, row.id)
        self._show(passage.place)
        if passage.text:
            self._view.paragraph(f"  {passage.text}")

    def _compare(self) -> None:
        row = self._last_passed
        if self._failure is not None or not row:
            current = self.current
            row = current.id if current else self._last_passed
            if self._asked_to_compare != row:
                self._asked_to_compare = row
                self._tell("To see the solution before the row passes, ask once more.")
                return
        for line in parts.compare(self._stage, self._directory, [row]):
            self._show(line)

    def _reset(self) -> None:
        row = self.current
        paths = parts.reset(self._stage, self._directory, row.id) if row else []
        if not paths:
            self._tell("Nothing to restore.")
            return
        text = "Restored from the starter: {paths}. Your text is in {kept}."
        self._tell(text, paths=", ".join(paths), kept=parts.KEPT.as_posix())


def _step_after(stage: Stage) -> str:
    """Return the step that follows, if it has a starter: the next stage or chapter."""
    if stage.chapter is not None:
        number = stage.chapter.number
        return f"{stage.name}/{number + 1}" if number < len(stage.chapters) else ""
    following = next((one for one in load_course() if one.number == stage.number + 1), None)
    if following is None:
        return ""
    return f"{following.name}/1" if following.chapters else following.step


def _ids(rows: Sequence[Requirement]) -> set[str]:
    return {row.id for row in rows}


def _waits_for(found: Row) -> str:
    """Return the row that must pass before this one can; empty when the row itself is at fault."""
    todo = found.todo or (found.failures[0].todo if found.failures else "")
    if todo and found.id not in todo.split(", "):
        return todo.split(", ")[0]
    return found.waiting_for or found.blocked_by or ""


def watch(directory: Path, events: queue.Queue[str], stop: threading.Event) -> None:
    """Put an event into the queue after each save of the learner's code."""

    def is_theirs(_: watchfiles.Change, path: str) -> bool:
        return not _IGNORED.search(Path(path).relative_to(directory).as_posix())

    for _ in watchfiles.watch(
        directory, watch_filter=is_theirs, stop_event=stop, debounce=200, step=20, rust_timeout=500
    ):
        events.put(SAVED)
