"""Each step has notes for a teacher, and everything that they name exists."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from course.catalog.command import run
from course.catalog.parts import read_parts
from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, Stage, load_course
from course.harness.lesson import blocks_of, read, sections_of
from tools.teach.notes import (
    PAGES,
    experiments_in,
    main,
    named,
    notes_of,
    page_of,
    questions_in,
    steps_of,
    written,
)

STEPS = steps_of(load_course())
SECTIONS = ["Pause", "Usual mistakes", "Leave with"]  # and Show, unless the lesson names the files
MOST_LINES = 40
FILES = 3
WRITING = 1 / 4  # the smallest part of the minutes in which the class writes code itself

each_step = pytest.mark.parametrize("stage", STEPS, ids=lambda step: step.step)


def lesson_of(stage: Stage) -> str:
    return read(ROOT / stage.lesson)


def test_each_page_belongs_to_a_step() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / PAGES).iterdir()}
    assert pages == {page_of(step) for step in STEPS}
    assert len(STEPS) == 13  # eight stages, and five chapters of the capstone


@each_step
def test_the_page_of_a_step_is_short_and_has_its_sections(stage: Stage) -> None:
    page = read(ROOT / page_of(stage))
    sections = sections_of(page)
    shows_files = "Read this" in sections_of(lesson_of(stage))
    assert list(sections) == ([] if shows_files else ["Show"]) + SECTIONS
    assert all(text.strip() for text in sections.values())
    assert len(page.splitlines()) <= MOST_LINES


@each_step
def test_the_minutes_of_the_parts_are_the_minutes_of_the_step(stage: Stage) -> None:
    minutes = notes_of(stage).minutes
    assert sum(minutes.values()) == stage.minutes
    assert list(minutes) == ["show", "ask", "break", "write", "leave"]
    assert all(count > 0 for count in minutes.values())
    assert minutes["write"] >= WRITING * stage.minutes
    printed = re.findall(r"^## \w+ \((\d+) minutes\)$", written(notes_of(stage)), re.MULTILINE)
    assert [int(count) for count in printed] == list(minutes.values())


@each_step
def test_a_teacher_shows_three_files_that_this_step_adds_or_changes(stage: Stage) -> None:
    paths = [path for path, _ in notes_of(stage).files]
    assert len(paths) == FILES
    assert set(paths) <= {*stage.adds, *stage.changes}
    assert stage.chapter is None or all(stage.chapter.has(path) for path in paths)
    assert all((ROOT / stage.directory / path).is_file() for path in paths)
    assert all(point for _, point in notes_of(stage).files)


@each_step
def test_the_page_names_only_what_the_files_contain(stage: Stage) -> None:
    """A name that is renamed in the code must change here too."""
    files = [path for path, _ in notes_of(stage).files]
    code = "".join(read(ROOT / stage.directory / path) for path in files)
    shown = " ".join(point for _, point in notes_of(stage).files)
    words = set(re.findall(r"`([A-Za-z_][\w.]*)`", shown)) - set(files)
    absent = {name for name in words if name.rpartition(".")[2] not in code}
    assert absent == set()


@each_step
def test_each_question_has_its_answer(stage: Stage) -> None:
    notes = notes_of(stage)
    asked = re.findall(r"^\d+\. ", before_the_answers(lesson_of(stage)), re.MULTILINE)
    assert len(notes.questions) == len(asked) >= 3
    assert [one.text for one in notes.questions if not one.answer] == []
    assert all(len(one.answer) > 20 for one in notes.questions)


def before_the_answers(lesson: str) -> str:
    parts = re.findall(r"^## Predict first\n(.*?)<details>", lesson, re.MULTILINE | re.DOTALL)
    return "\n".join(parts)


@each_step
def test_each_experiment_and_its_commands_are_those_of_the_lesson(stage: Stage) -> None:
    notes = notes_of(stage)
    assert len(notes.experiments) >= 2
    lesson = lesson_of(stage)
    # The tests of the lessons run these blocks.
    known = {(block.language, block.text) for block in blocks_of(lesson)}
    printed = {(block.language, block.text) for block in blocks_of(written(notes))}
    own = ["\n".join(notes.commands) + "\n", f"python3 noxfile.py learn {stage.step}\n"]
    printed -= {("bash", text) for text in own}
    assert printed <= known
    broken = sections_of(lesson)["Break it"]
    assert printed >= {(block.language, block.text) for block in blocks_of(broken)}


@each_step
def test_the_commands_of_the_notes_exist(stage: Stage) -> None:
    noxfile = read(ROOT / "noxfile.py")
    known = set(re.findall(r"^@nox\.session.*\ndef (\w+)", noxfile, re.MULTILINE))
    known |= {one.name for one in load_course()}
    commands = re.findall(r"noxfile\.py (\w+)(?: (\d)(?: (\d))?)?", written(notes_of(stage)))
    assert {name for name, _, _ in commands} <= known
    expected = {("stack", "", "") if stage.chapter else ("serve", f"{stage.number}", "")}
    if stage.number > 1:
        expected.add(("diff", f"{stage.number - 1}", f"{stage.number}"))
    assert expected <= set(commands)
    assert f"noxfile.py learn {stage.step}\n" in written(notes_of(stage))


@each_step
def test_the_class_gets_the_rows_of_the_starter_and_an_exercise(stage: Stage) -> None:
    notes = notes_of(stage)
    texts = {row.id: row.text for row in load_requirements()}
    rows = dict.fromkeys(row for part in read_parts(stage) for row in part.rows)
    assert dict(notes.rows) == {row: texts[row] for row in rows}
    assert notes.rows
    assert "Done when" in notes.exercise
    assert re.match(r"Exercise \d: ", notes.why)


def test_a_question_without_an_answer_and_answers_of_both_forms_are_read() -> None:
    section = """Think first.

1. One
   line? And more?
2. Two?
3. Three?

<details>
<summary>Answers</summary>

```sh
1. not an answer
```

1. **Yes**, see [the page](page.md#x).
   It goes on.
2: **No.**

A remark.

</details>
"""
    assert [(one.text, one.answer) for one in questions_in(section)] == [
        ("One line? And more?", "**Yes**, see the page. It goes on."),
        ("Two?", "**No.**"),
        ("Three?", ""),
    ]


def test_an_experiment_begins_with_its_title() -> None:
    text = "Read on.\n\n**Lose it.** First\nthis.\n\n```sh\nls\n```\n\n**Keep it,** then.\n"
    assert [one.title for one in experiments_in(text)] == ["Lose it", "Keep it"]
    assert "```sh\nls\n```" in experiments_in(text)[0].text


def test_the_command_prints_one_step_or_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, ["3"], ROOT) == 0
    assert capsys.readouterr().out == written(notes_of(STEPS[2]))
    assert run(main, [], ROOT) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:11].strip() for line in lines] == [named(step) for step in STEPS]
    assert run(main, ["11"], ROOT) == 2
    assert "stage '11' does not exist" in capsys.readouterr().err
    assert run(main, ["capstone"], ROOT) == 2
    assert "name a chapter, such as capstone/1" in capsys.readouterr().err


def test_the_session_prints_the_notes() -> None:
    command = [sys.executable, str(ROOT / "noxfile.py"), "notes", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "## Show (40 minutes)" in done.stdout
