"""A tenth stage is made by one command and is green at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from course.catalog.command import run
from course.catalog.requirements import find_problems, find_tests, load_requirements
from course.catalog.stages import ROOT, CourseError, load_course
from tools.sync import drift
from tools.sync.new_stage import main, make_stage

NAME = "stage10_tags"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the course, to add a stage to."""
    place = tmp_path / "course"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(place)], check=True)
    return place


def test_a_new_stage_is_in_step_and_has_a_requirement_with_a_test(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([NAME], clone) == 0
    stage = load_course(clone)[-1]
    assert (stage.number, stage.directory, stage.name) == (10, NAME, "stage10")
    assert run(drift.main, [], clone) == 0, capsys.readouterr().out
    rows = load_requirements(clone / "course" / "catalog" / "requirements.toml", clone)
    assert find_problems(rows, find_tests(clone), len(load_course(clone))) == []
    assert rows[-1].tests == (f"tests/{stage.name}/test_tags.py::{_only_test(clone)}",)
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, NAME, "tests"], cwd=clone, check=True)


def _only_test(clone: Path) -> str:
    source = (clone / "tests" / "stage10" / "test_tags.py").read_text(encoding="utf-8")
    return source.partition("def ")[2].partition("(")[0]


@pytest.mark.parametrize("name", ["stage11_tags", "stage10", "stage10_", "stage10_Tags", "tags"])
def test_a_name_that_cannot_be_the_next_one_is_refused(clone: Path, name: str) -> None:
    with pytest.raises(CourseError, match="such as stage10_tags"):
        make_stage(name, clone)
    assert len(load_course(clone)) == 9


def test_a_row_that_lacks_fields_says_which(clone: Path) -> None:
    toml = clone / "stages.toml"
    whole = toml.read_text(encoding="utf-8")
    row = f'\n[[stage]]\nnumber = 10\ndirectory = "{NAME}"\ntitle = "Tags"\n'
    toml.write_text(whole + row, encoding="utf-8")
    with pytest.raises(CourseError, match="stage10_tags lacks level, goal, minutes"):
        load_course(clone)
    toml.write_text(f"{whole}{row}colour = 1\nlevel = ''\ngoal = ''\nminutes = 1\n", "utf-8")
    with pytest.raises(CourseError, match="stage10_tags has an unknown field: colour"):
        load_course(clone)
