"""The time from a save to its result is measured with real saves of a stage with a mistake."""

from __future__ import annotations

import pytest

from course.catalog.command import run
from course.catalog.stages import ROOT, load_course
from tools.learn.measure import main, measure
from tools.learn.parts import rows_in_order
from tools.learn.starter import LAST_STAGE
from tools.mutate.mutants import load_mutants

STAGES = load_course()[:LAST_STAGE]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_save_of_a_mistake_is_measured_until_its_failure_is_shown() -> None:
    seconds = measure(STAGES[0], saves=2)
    assert len(seconds) == 2
    assert all(0.2 < one < 60 for one in seconds)


def test_each_row_has_a_mistake_to_measure_with() -> None:
    rows = {row for stage in STAGES for row in rows_in_order(stage)}
    assert rows <= {one.row for one in load_mutants() if one.stage <= LAST_STAGE}


def test_an_unknown_stage_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, ["11"], ROOT) == 2
    assert "stage '11' does not exist" in capsys.readouterr().err
