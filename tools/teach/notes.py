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
from course.catalog.stages import ROOT, CourseError, Stage, find_stage, load_course
from course.harness.lesson import blocks_of, prose_of, read, sections_of

PAGES = Path("docs", "teaching")

# Minutes in class. The rest of the step's minutes is for writing code.
START, EACH_FILE, EACH_QUESTION, EACH_EXPERIMENT, END = 10, 10, 3, 8, 5

_FILE = re.compile(r"^\d+\. `(?P<path>[^`]+)`: (?P<point>.+?)(?=^\d+\. |\Z)", re.M | re.S)
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

    stage: Stage
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
        parts["write"] = self.stage.minutes - sum(parts.values()) - END
        return parts | {"leave": END}

    @property
    def split(self) -> str:
        """The minutes in one line."""
        return ", ".join(f"{name} {count}" for name, count in self.minutes.items())


def notes_of(stage: Stage, root: Path = ROOT) -> Notes:
    """Return the notes of a step; raise `CourseError` when its page is missing."""
    page = root / PAGES / f"{stage.name}.md"
    if not page.is_file():
        raise CourseError(f"{PAGES.as_posix()}/{page.name} is missing: copy another step's page")
    ours = sections_of(read(page))
    lessons = [root / stage.directory / "README.md"]
    lessons += sorted((root / stage.directory / "lessons").glob("*.md"))
    asked = [sections_of(read(lesson)).get("Predict first", "") for lesson in lessons]
    broken = [sections_of(read(lesson)).get("Break it", "") for lesson in lessons]
    further = [sections_of(read(lesson)).get("Go further", "") for lesson in lessons]
    leave = ours.get("Leave with", "")
    number = re.match(r"Exercise (\d+)", leave.strip())
    exercises = _numbered(_QUESTION, "\n".join(further))
    texts = {row.id: row.text for row in load_requirements(root=root)}
    rows = dict.fromkeys(row for part in read_parts(stage) for row in part.rows)
    commands = [f"python3 noxfile.py serve {stage.number}"]
    if stage.number > 1:
        commands.append(f"python3 noxfile.py diff {stage.number - 1} {stage.number}")
    return Notes(
        stage=stage,
        commands=tuple(commands),
        files=tuple((one["path"], plain(one["point"])) for one in _files(ours)),
        pause=ours.get("Pause", "").strip(),
        questions=tuple(one for section in asked for one in questions_in(section)),
        blocks=tuple(
            f"```{block.language}\n{block.text}```"
            for section in asked
            for block in blocks_of(section)
        ),
        experiments=tuple(one for section in broken for one in experiments_in(section)),
        rows=tuple((row, texts[row]) for row in rows),
        mistakes=ours.get("Usual mistakes", "").strip(),
        exercise=exercises.get(int(number[1]), "") if number else "",
        why=leave.strip(),
    )


def _files(ours: dict[str, str]) -> Sequence[re.Match[str]]:
    return list(_FILE.finditer(ours.get("Show", "").strip() + "\n"))


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
    return [Experiment(part[2:].partition("**")[0].rstrip(".,"), part) for part in parts]


def plain(text: str) -> str:
    """Return text in one line, with the words of its links only."""
    return _LINK.sub(r"\1", " ".join(text.split()))


def _numbered(pattern: re.Pattern[str], text: str) -> dict[int, str]:
    return {int(number): plain(words) for number, words in pattern.findall(text)}


def written(notes: Notes) -> str:
    """Return the notes as a Markdown page."""
    stage, minutes = notes.stage, notes.minutes
    lines = [f"# Stage {stage.number}: {stage.title}", "", stage.goal, ""]
    lines += [f"{stage.minutes} minutes: {notes.split}.", ""]
    lines += [f"## Show ({minutes['show']} minutes)", "", "```bash", *notes.commands, "```", ""]
    for number, (path, point) in enumerate(notes.files, 1):
        lines.append(f"{number}. `{stage.directory}/{path}`: {point}")
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
    lines += [f"## Write ({minutes['write']} minutes)", "", *_writing(notes), ""]
    lines += ["Usual mistakes:", "", notes.mistakes, ""]
    lines += [f"## Leave ({minutes['leave']} minutes)", "", notes.exercise, "", notes.why]
    return "\n".join(lines) + "\n"


def _writing(notes: Notes) -> list[str]:
    """Return the rows that a class can pass, or what it does in a step without a starter."""
    if not notes.rows:
        page = f"{notes.stage.directory}/README.md"
        return [f"This step has no starter. The class goes through the rest of `{page}`."]
    lines = ["```bash", f"python3 noxfile.py learn {notes.stage.number}", "```", ""]
    return lines + [f"- {row}: {text}" for row, text in notes.rows]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the notes of a step, or the list of all steps; return 0."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py notes",
        description="Print the notes of a step for a teacher; without a stage, list the steps.",
    )
    parser.add_argument("stage", nargs="?", help="such as 3, stage03 or capstone")
    wanted = parser.parse_args(arguments).stage
    stages = load_course(root)
    if wanted:
        print(written(notes_of(find_stage(stages, wanted), root)), end="")
        return 0
    for stage in stages:
        split = notes_of(stage, root).split
        print(f"{stage.number}  {stage.title:<27} {stage.minutes} minutes: {split}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
