"""A row that no test of the contract covers does not stop a learner."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, load_course
from tools.learn import parts
from tools.learn.starter import COMMANDS
from tools.learn.state import State, read_state, write_state
from tools.tests.learn.learner import Learner

STAGE = load_course()[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_row_without_a_test_of_the_contract_is_done_when_it_is_written(tmp_path: Path) -> None:
    mine = shutil.copytree(ROOT / STAGE.directory, tmp_path / "mine")
    (mine / ".venv").symlink_to(stage_python(STAGE).parents[1], target_is_directory=True)
    first, second = parts.rows_in_order(STAGE)[:2]
    assert (first, second) == ("2.1", "2.5")
    write_state(mine, State(2, COMMANDS["python"]))
    learner = Learner(mine, step="2")
    try:
        learner.until(r"^Now: 2\.1 ")
        learner.until(r"^2\.1: no test of the contract\. Compare it: `compare`$")
        learner.until(r"^Now: 2\.5 ")
        learner.until(r"^2\.5: no test of the contract\.")
        learner.until(r"^Now: 2\.4 ")
    finally:
        learner.end()
    state = read_state(mine)
    assert state is not None
    assert state.passed[:2] == ["2.1", "2.5"]
