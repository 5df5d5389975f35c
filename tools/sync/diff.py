"""Show what changes between two stages: a summary by feature, then the patch in reading order.

    python -m tools.sync.diff 2 3                 on the terminal
    python -m tools.sync.diff 2 3 > step.patch    in a copy of stage 2: patch -p1 < step.patch
    python -m tools.sync.diff 2 3 --html out.html side by side, as one page
    python -m tools.sync.diff 8 9 --chapter 2     only the files of this chapter of stage 9

The two stages may be given in any order and with others between them; the diff always goes forward.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT, CourseError, find_chapter, find_stage, load_course
from course.catalog.trees import git, shown
from tools.sync.lesson import LESSON, FileChange, Lesson, compare


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the changes from one stage to the other, or write them as a page; return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.sync.diff",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs=2, metavar="STAGE", help="2, stage02, stage02_sqlite_todo")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    parser.add_argument("--full", action="store_true", help="with the texts of the lesson too")
    parser.add_argument("--chapter", metavar="N", help="only this chapter of the last stage")
    parser.add_argument("--no-color", action="store_true")
    options = parser.parse_args(arguments)
    stages = load_course(root)
    first, last = sorted(
        (find_stage(stages, wanted) for wanted in options.stages), key=lambda stage: stage.number
    )
    if first == last:
        raise CourseError(f"{first.directory} is named twice: name two different stages")
    chapter = None
    if options.chapter is not None:
        chapter = find_chapter(last, options.chapter)
        if last.number - first.number != 1:
            raise CourseError(
                f"--chapter needs the stage before {last.directory}: diff {last.number - 1}"
                f" {last.number} --chapter {chapter.number}"
            )
    lesson = compare(root, stages, first, last, chapter)
    in_patch = [c for c in lesson.changes if options.full or c.feature != LESSON]
    if options.html:
        # Only the page needs packages; the rest runs on a bare Python in a tenth of a second.
        from tools.sync.diff_page import page

        _write_page(options.html, page(root, lesson, in_patch))
        return 0
    print(summary(lesson))
    if len(in_patch) != len(lesson.changes):
        print("The patch leaves out the texts of the lesson: --full shows them.\n")
    sys.stdout.flush()
    color = sys.stdout.isatty() and not options.no_color and not os.environ.get("NO_COLOR")
    sys.stdout.buffer.write(patch(root, lesson, in_patch, color=color))
    sys.stdout.buffer.flush()
    return 0


def summary(lesson: Lesson) -> str:
    """Return the lessons' titles, goals and minutes, and the files by feature."""
    lines = [
        f"From stage {lesson.first.number}: {lesson.first.title}",
        f"To stage {lesson.last.number}: {lesson.title}",
        f"{lesson.minutes} minutes",
        *(f"Goal of stage {stage.number}: {stage.goal}" for stage in lesson.steps),
        "",
    ]
    if not lesson.changes:
        return "\n".join([*lines, "The two stages are identical.\n"])
    width = max(len(shown(change.path)) for change in lesson.changes)
    for feature, changes in lesson.by_feature():
        lines.append(feature)
        for change in changes:
            name = shown(change.path).ljust(width)
            lines.append(f"  {change.verb:7}  {name}  {_columns(change)}".rstrip())
        if feature == "requirements":
            lines += [f"  packages {what}: {names}" for what, names in lesson.packages.rows()]
    plus = sum(change.plus for change in lesson.changes)
    minus = sum(change.minus for change in lesson.changes)
    total = f"{len(lesson.changes)} files".ljust(width + 11)
    lines += [f"{total}  {f'+{plus}':>6} {f'-{minus}':>6}", ""]
    return "\n".join(lines)


def _columns(change: FileChange) -> str:
    parts = change.counts.split(" ")
    if parts[0].startswith("+"):
        return f"{parts[0]:>6} {parts[1]:>6}"
    return change.counts.rjust(13)


def patch(root: Path, lesson: Lesson, changes: Sequence[FileChange], *, color: bool) -> bytes:
    """Return a patch of `changes` in their order; git can apply it if it has no colour."""
    if not changes:
        return b""
    paths = [change.path for change in changes]
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        # The order file holds patterns, and brackets quote a character.
        order = Path(scratch) / "order"
        patterns = (re.sub(r"([*?\[\\])", r"[\1]", path) for path in paths)
        order.write_bytes(b"".join(os.fsencode(pattern) + b"\n" for pattern in patterns))
        return git(
            root,
            "diff-tree",
            "-r",
            "--patch",
            "--no-ext-diff",
            "--no-textconv",
            # A terminal gets no pictures in base 85.
            *(["--color=always"] if color else ["--color=never", "--binary"]),
            f"--src-prefix={lesson.first.directory}/",
            f"--dst-prefix={lesson.last.directory}/",
            f"-O{order}",
            *lesson.trees,
            "--",
            *paths,
        )


def _write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from error
    print(f"Wrote {path}")


if __name__ == "__main__":
    sys.exit(run(main))
