"""The mutants fit the present stages, and the tool distinguishes killed mutants from survivors."""

import json
from collections import Counter
from pathlib import Path

import pytest

from course.catalog.requirements import IDS
from course.catalog.stages import ROOT, CourseError, load_course
from tools.mutate import mutants
from tools.mutate.mutants import (
    KILLED,
    SPREAD,
    SURVIVED,
    Mutant,
    Result,
    judge,
    judged_again,
    load_mutants,
    main,
    page,
)
from tools.mutate.workbench import Outcomes

MUTANTS = load_mutants()
# These rows concern the repository's sessions, tools and layout, so no app can break them.
OF_THE_TOOLS = {"D.1", "D.3", "D.5", "D.6", "D.7", "D.8", "D.9"}
NOT_THERE = Mutant("m", "1.1", 1, "a.py", "old", "new", "why")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_fits_its_stage_and_is_python(mutant: Mutant) -> None:
    file = ROOT / load_course()[mutant.stage - 1].directory / mutant.file
    source = file.read_text(encoding="utf-8")
    assert mutant.mutate(source) != source


def test_every_requirement_has_two_mutants() -> None:
    of_row = Counter(mutant.row for mutant in MUTANTS)
    assert [row for row in IDS if row not in OF_THE_TOOLS and of_row[row] < 2] == []
    assert {row for mutant in MUTANTS for row in (mutant.row, *mutant.also)} <= {*IDS}


@pytest.mark.parametrize("source", ["", "old old"])
def test_a_mutant_that_does_not_fit_is_an_error(source: str) -> None:
    with pytest.raises(CourseError, match=r"m: a\.py has `old` [02] times"):
        NOT_THERE.mutate(source)


def test_a_mutant_is_killed_when_it_fails_its_row_and_no_unrelated_row() -> None:
    mutant = Mutant("m", "1.1", 1, "a.py", "old", "new", "why", also=("1.2",))
    assert judge(mutant, []) == SURVIVED
    assert judge(mutant, ["1.2"]) == SURVIVED
    assert judge(mutant, ["1.1", "1.2"]) == KILLED
    assert judge(mutant, ["1.1", "1.3"]) == SPREAD


def test_an_earlier_result_is_judged_by_what_the_mutant_says_now() -> None:
    mutant = Mutant("m", "1.1", 1, "a.py", "old", "new", "why", also=("1.2",))
    earlier = Result("m", "1.1", 1, SPREAD, ("1.1", "1.2"), ("1.1", "1.2"), seconds=1)
    assert judged_again(mutant, earlier).verdict == KILLED


def test_a_mutant_is_run_and_the_matrix_shows_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "MATRIX", tmp_path / "docs" / "matrix.md")
    assert main(["no-location"], ROOT) == 0
    (result,) = json.loads((tmp_path / "docs" / "matrix.json").read_text("utf-8")).values()
    assert (result["verdict"], result["failed"]) == (KILLED, ["1.3"])
    text = (tmp_path / "docs" / "matrix.md").read_text("utf-8")
    assert "1 were run and 1 killed" in text
    assert "| no-location | 1.3 |" in text


def test_a_mutant_that_did_not_run_is_not_called_killed() -> None:
    assert "not run" in page([NOT_THERE], {})
    assert "0 were run and 0 killed" in page([NOT_THERE], {})


def test_a_test_that_fails_once_and_passes_alone_has_passed() -> None:
    first = Outcomes(frozenset({"a", "b"}), frozenset({"c"}))
    again = Outcomes(frozenset({"b"}), frozenset({"a"}))
    assert first.corrected_by(again) == Outcomes(frozenset({"b"}), frozenset({"a", "c"}))
