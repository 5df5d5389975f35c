"""`python3 noxfile.py compare 3 ../my-stage3`: compares your code with the finished stage."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.parts import runtime_of
from course.catalog.stages import ROOT, CourseError, find_step, load_course
from tools.learn.parts import compare, rows_in_order


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the differences of every part, or of some rows; return 0."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py compare",
        description="Show how your stage differs from the finished one, part by part.",
    )
    parser.add_argument("stage", help="its number, or a chapter such as capstone/2")
    parser.add_argument("place", metavar="DIR", help="your directory")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows, such as 3.1")
    parser.add_argument("--directory", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    stage = find_step(load_course(root), given.stage)
    place = Path(given.directory, given.place)
    if not place.is_dir():
        raise CourseError(f"there is no directory {place}")
    known = rows_in_order(stage, runtime_of(place))
    if unknown := [row for row in given.rows if row not in known]:
        raise CourseError(f"{stage.step} has no part for row {unknown[0]}")
    for line in compare(stage, place, given.rows or known, root):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
