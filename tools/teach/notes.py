"""`python3 noxfile.py notes 3`: what a teacher shows, asks and breaks in class.

Most of it is read from the lesson when the notes are printed, so it is never older than the lesson.
`docs/teaching/` has a page for each step with the part that no program can know.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.command import run
from course.catalog.parts import read_parts
from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, CourseError, Stage, find_step, load_course
from course.harness.lesson import blocks_of, prose_of, read, sections_of

PAGES = Path("docs", "teaching")

# Minutes in class. The rest of the step's minutes is for writing code.
START, EACH_FILE, EACH_QUESTION, EACH_EXPERIMENT, END = 10, 10, 3, 8, 5

_FILE = re.compile(
    r"^\d+\. `(?P<path>[^`]+)`(?::| \(\d+ minutes\)[.,]) (?P<point>.+?)(?=^\d+\. |\Z)", re.M | re.S
)
_QUESTION = re.compile(r"^(\d+)\. (.+?)(?=^\d+\. |\n\n|\Z)", re.M | re.S)
_ANSWER = re.compile(r"^(\d+)[.:] (.+?)(?=^\d+[.:] |\n\n|\Z)", re.M | re.S)
_EXPERIMENT = re.compile(r"^(?=\*\*)", re.M)
_LINK = re.compile(r"\[([^\]]+)\]\([^)\s]+\)")


@dataclass(frozen=True)
class Question:
    """A question of *Predict first* with its answer."""

    text: str
    answer: str


@dataclass(frozen=True)
class Experiment:
    """A part of *Break it*: its title, and its text with the blocks to paste."""

    title: str
    text: str


@dataclass(frozen=True)
class Notes:
    """Everything that a teacher needs for one step, in the order of the class."""

    step: Stage
    commands: tuple[str, ...]
    files: tuple[tuple[str, str], ...]  # paths in the stage, and what to point at
    pause: str
    questions: tuple[Question, ...]
    blocks: tuple[str, ...]  # they show the answers
    experiments: tuple[Experiment, ...]
    rows: tuple[tuple[str, str], ...]
    mistakes: str
    exercise: str
    why: str

    @property
    def minutes(self) -> dict[str, int]:
        """The minutes of each part; together they are the minutes of the step."""
        parts = {
            "show": START + EACH_FILE * len(self.files),
            "ask": EACH_QUESTION * len(self.questions),
            "break": EACH_EXPERIMENT * len(self.experiments),
        }
        parts["write"] = self.step.minutes - sum(parts.values()) - END
        return parts | {"leave": END}

    @property
    def split(self) -> str:
        """The minutes in one line."""
        return ", ".join(f"{name} {count}" for name, count in self.minutes.items())


def steps_of(stages: Sequence[Stage]) -> list[Stage]:
    """Return the steps of the course: each stage, or each chapter of a stage that has some."""
    return [
        find_step(list(stages), f"{stage.name}/{one.number}" if one else stage.name)
        for stage in stages
        for one in stage.chapters or (None,)
    ]


def page_of(step: Stage) -> str:
    """Return the path of the page that people wrote for this step."""
    return (PAGES / f"{step.step.replace('/', '-') if step.chapter else step.name}.md").as_posix()


def notes_of(step: Stage, root: Path = ROOT) -> Notes:
    """Return the notes of a step; raise `CourseError` when its page is missing."""
    if step.chapters and step.chapter is None:
        raise CourseError(f"name a chapter, such as {step.name}/{step.chapters[0].number}")
    page = root / page_of(step)
    if not page.is_file():
        raise CourseError(f"{page_of(step)} is missing: copy another step's page")
    ours, lesson = sections_of(read(page)), sections_of(read(root / step.lesson))
    leave = ours.get("Leave with", "").strip()
    number = re.match(r"Exercise (\d+)", leave)
    exercises = _numbered(_QUESTION, lesson.get("Go further", ""))
    texts = {row.id: row.text for row in load_requirements(root=root)}
    rows = dict.fromkeys(row for part in read_parts(step) for row in part.rows)
    shown = ours.get("Show") or lesson.get("Read this", "")
    asked = lesson.get("Predict first", "")
    return Notes(
        step=step,
        commands=_commands(step),
        files=tuple((one["path"], plain(one["point"])) for one in _FILE.finditer(shown)),
        pause=ours.get("Pause", "").strip(),
        questions=tuple(questions_in(asked)),
        blocks=tuple(f"```{block.language}\n{block.text}```" for block in blocks_of(asked)),
        experiments=tuple(experiments_in(lesson.get("Break it", ""))),
        rows=tuple((row, texts[row]) for row in rows),
        mistakes=ours.get("Usual mistakes", "").strip(),
        exercise=exercises.get(int(number[1]), "") if number else "",
        why=leave,
    )


def _commands(step: Stage) -> tuple[str, ...]:
    """Return the commands that run the step and show what it changes."""
    if step.chapter is not None:
        changes = f"diff {step.number - 1} {step.number} --chapter {step.chapter.number}"
        return ("python3 noxfile.py stack", f"python3 noxfile.py {changes}")
    serve = f"python3 noxfile.py serve {step.number}"
    if step.number == 1:
        return (serve,)
    return (serve, f"python3 noxfile.py diff {step.number - 1} {step.number}")


def questions_in(section: str) -> list[Question]:
    """Return the questions of *Predict first*, each with its answer."""
    before, _, after = prose_of(section).partition("<details>")
    answers = _numbered(_ANSWER, after)
    return [
        Question(text, answers.get(number, ""))
        for number, text in _numbered(_QUESTION, before).items()
    ]


def experiments_in(section: str) -> list[Experiment]:
    """Return the parts of *Break it*: each begins with its title in bold."""
    parts = [part.strip() for part in _EXPERIMENT.split(section) if part.startswith("**")]
    return [Experiment(part[2:].partition("**")[0].rstrip(".,:"), part) for part in parts]


def plain(text: str) -> str:
    """Return text in one line, with the words of its links only."""
    return _LINK.sub(r"\1", " ".join(text.split()))


def _numbered(pattern: re.Pattern[str], text: str) -> dict[int, str]:
    return {int(number): plain(words) for number, words in pattern.findall(text)}


def written(notes: Notes) -> str:
    """Return the notes as a Markdown page."""
    step, minutes = notes.step, notes.minutes
    lines = [f"# {named(step)}: {step.title}", "", f"{step.minutes} minutes: {notes.split}.", ""]
    lines += [f"## Show ({minutes['show']} minutes)", "", "```bash", *notes.commands, "```", ""]
    for number, (path, point) in enumerate(notes.files, 1):
        lines.append(f"{number}. `{step.directory}/{path}`: {point}")
    lines += ["", "Pause here:", "", notes.pause, ""]
    lines += [f"## Ask ({minutes['ask']} minutes)", ""]
    for number, question in enumerate(notes.questions, 1):
        lines += [f"{number}. {question.text}", f"   → {question.answer}"]
    if notes.blocks:
        lines += ["", "Show the answers, after the blocks of *Try it*:", "", *notes.blocks]
    lines += ["", f"## Break ({minutes['break']} minutes)", ""]
    lines += ["Run these blocks in order, after those of *Try it* and *Predict first*.", ""]
    for experiment in notes.experiments:
        lines += [f"### {experiment.title}", "", experiment.text, ""]
    lines += [f"## Write ({minutes['write']} minutes)", "", "```bash"]
    lines += [f"python3 noxfile.py learn {step.step}", "```", ""]
    lines += [f"- {row}: {text}" for row, text in notes.rows]
    lines += ["", "Usual mistakes:", "", notes.mistakes, ""]
    lines += [f"## Leave ({minutes['leave']} minutes)", "", notes.exercise, "", notes.why]
    return "\n".join(lines) + "\n"


def named(step: Stage) -> str:
    """Return `Stage 3`, or `capstone/2` for a chapter."""
    return step.step if step.chapter else f"Stage {step.step}"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the notes of a step, or the list of all steps; return 0."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py notes",
        description="Print the notes of a step for a teacher; without a step, list all.",
    )
    parser.add_argument("step", nargs="?", help="such as 3, stage03 or capstone/2")
    wanted = parser.parse_args(arguments).step
    stages = load_course(root)
    if wanted:
        print(written(notes_of(find_step(stages, wanted), root)), end="")
        return 0
    for step in steps_of(stages):
        notes = notes_of(step, root)
        print(f"{named(step):<11} {step.title}, {step.minutes} minutes: {notes.split}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
