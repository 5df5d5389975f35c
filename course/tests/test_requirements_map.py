"""The map check finds every way in which the map can be wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from course.catalog.requirements import IDS, Requirement, find_problems, load_requirements

TEST = "tests/stage01/test_todos.py::test_it"
STAGES = 2


def row(row_id: str) -> Requirement:
    """Return a row that is in order: stage 1 and 2 have a test, the others none yet."""
    stage = int(row_id[0]) if row_id[0].isdigit() else 9
    return Requirement(row_id, "What must be", stage, (TEST,) if stage <= STAGES else ())


def problems(change: dict[str, Requirement | None], collected: tuple[str, ...] = (TEST,)) -> str:
    """Return the problems of a good map after some rows were changed or taken out."""
    rows = {row_id: row(row_id) for row_id in IDS} | change
    return "\n".join(find_problems([r for r in rows.values() if r], collected, STAGES))


def test_there_are_80_requirements() -> None:
    assert len(IDS) == len(set(IDS)) == 80


def test_a_good_map_has_no_problem() -> None:
    assert problems({}) == ""


def test_a_parametrised_test_is_found_by_its_name() -> None:
    assert problems({}, (f"{TEST}[a::b]", f"{TEST}[[c]]")) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.3": None}, "1.3: not in the map"),
        ({"1.8": replace(row("1.7"), id="1.8")}, "1.8: there is no such requirement"),
        ({"2.5": replace(row("2.5"), tests=())}, "2.5: no test, and stage 2 exists"),
        (
            {"2.5": replace(row("2.5"), tests=(TEST, "tests/x.py::test_gone"))},
            "2.5: pytest does not find tests/x.py::test_gone",
        ),
        (
            {"5.1": replace(row("5.1"), tests=("tests/stage05/test_x.py::test_gone",))},
            "5.1: pytest does not find tests/stage05/test_x.py::test_gone",
        ),
        ({"1.7": replace(row("1.7"), tests=(TEST, TEST))}, "1.7: names a test twice"),
        ({"1.7": replace(row("1.7"), until=1)}, "1.7: `until` and `successor` go together"),
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


def test_a_test_of_a_suite_that_belongs_to_no_requirement_is_named() -> None:
    forgotten = "tests/stage02/test_x.py::test_forgotten"
    assert problems({}, (TEST, forgotten)) == f"{forgotten}: belongs to no requirement"


@pytest.mark.parametrize(
    "text",
    ['["1.1"]\n["1.1"]\n', '["1.1"]\ntext = "t"\n', '["1.1"]\ntext = "t"\nstage = 1\ncolour = 1\n'],
)
def test_a_map_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "requirements.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, TypeError)):
        load_requirements(file)
