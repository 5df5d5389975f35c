"""The marks of the tests make the map of requirements, and each mistake in them is reported."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from course.catalog.requirements import (
    IDS,
    MARK,
    Requirement,
    TestFunction,
    find_problems,
    find_tests,
    load_requirements,
    page,
)
from course.catalog.stages import ROOT

TEST = "tests/stage01/test_todos.py::test_it"
STAGES = 2


def row(row_id: str) -> Requirement:
    """Return a valid row: rows of stages 1 and 2 have a test, the others none yet."""
    stage = int(row_id[0]) if row_id[0].isdigit() else 9
    return Requirement(row_id, "A rule", stage, (TEST,) if stage <= STAGES else ())


def problems(change: dict[str, Requirement | None], *tests: TestFunction) -> str:
    """Return the problems of a valid map after some rows were changed or removed."""
    rows = {row_id: row(row_id) for row_id in IDS} | change
    return "\n".join(find_problems([r for r in rows.values() if r], tests, STAGES))


def test_there_are_80_requirements() -> None:
    assert len(IDS) == len(set(IDS)) == 80


def test_a_good_map_has_no_problem() -> None:
    assert problems({}) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.3": None}, "1.3: not in the map"),
        ({"1.8": replace(row("1.7"), id="1.8")}, "1.8: no such requirement"),
        ({"2.5": replace(row("2.5"), tests=())}, "2.5: no test, and stage 2 exists"),
        ({"1.7": replace(row("1.7"), until=1)}, "1.7: give both `until` and `successor`"),
        (
            {"1.7": replace(row("1.7"), until=1, successor="2.9")},
            "1.7: its successor 2.9 is not in the map",
        ),
        ({"1.1": replace(row("1.1"), text=" ")}, "1.1: no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_named(change: dict[str, Requirement | None], said: str) -> None:
    assert problems(change) == said


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "belongs to no requirement"),
        (("1.1", "1.1"), "names a row twice"),
        (("1.1", "9.9"), "there is no row 9.9"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_the_marks_of_a_test_is_named(rows: tuple[str, ...], said: str) -> None:
    assert problems({}, TestFunction(TEST, rows)) == f"{TEST}: {said}"


def test_a_test_of_a_tool_may_belong_to_no_requirement() -> None:
    assert problems({}, TestFunction("tools/tests/run/test_x.py::test_it", ())) == ""


SOURCE = f"""import pytest

@{MARK}("1.2", "1.1")
@pytest.mark.slow
@{MARK}("1.3")
def test_it():
    pass

def test_another():
    pass
"""


def suite(root: Path, source: str) -> Path:
    """Write a suite with one file of tests below `root`, and return `root`."""
    file = root / "tests" / "stage01" / "test_todos.py"
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    return root


def test_the_marks_of_the_tests_make_the_map(tmp_path: Path) -> None:
    root = suite(tmp_path, SOURCE)
    assert find_tests(root) == (
        TestFunction(TEST, ("1.2", "1.1", "1.3")),
        TestFunction("tests/stage01/test_todos.py::test_another", ()),
    )
    rows = {one.id: one.tests for one in load_requirements(root=root)}
    assert {name: rows[name] for name in ("1.1", "1.2", "1.3", "1.4")} == {
        "1.1": (TEST,),
        "1.2": (TEST,),
        "1.3": (TEST,),
        "1.4": (),
    }
    assert f"1.2  Read one task by its id\n  {TEST}\n" in page(load_requirements(root=root))


@pytest.mark.parametrize(
    "source",
    [
        SOURCE.replace("def test_it", "def help_it"),
        SOURCE.replace("def test_it", f"class TestIt:\n  @{MARK}('1.1')\n  def it"),
        SOURCE.replace('("1.3")', ""),
        SOURCE.replace('("1.3")', "()"),
        SOURCE.replace('("1.3")', "(*ROWS)"),
        SOURCE.replace('("1.3")', "(ROW)"),
    ],
    ids=["no test", "a method", "no row", "an empty list", "many by a name", "one by a name"],
)
def test_a_mark_that_cannot_be_read_is_an_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(ValueError, match=r"tests/stage01/test_todos\.py"):
        find_tests(suite(tmp_path, source))


def test_pytest_finds_the_same_tests_as_the_map() -> None:
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "--row=1.4", "--stage=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    found = {line.partition("[")[0] for line in collected.splitlines() if "::" in line}
    (of_row,) = (row.tests for row in load_requirements() if row.id == "1.4")
    assert found == set(of_row)
    assert len(found) > 4


def test_a_row_that_does_not_exist_is_named() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--row=1.9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (4, "ERROR: --row 1.9: there is no such row")


@pytest.mark.parametrize(
    "text",
    ['["1.1"]\n["1.1"]\n', '["1.1"]\ntext = "t"\n', '["1.1"]\ntext = "t"\nstage = 1\ncolour = 1\n'],
)
def test_a_map_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "requirements.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, TypeError)):
        load_requirements(file)
