"""The part of a grade inside pytest: contract tests come first, and craft costs no points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from course.catalog.stages import ROOT
from course.harness.learners import NEEDS_CMD
from tools.grade.outcomes import Suite, read_suite

NOBODY = "http://127.0.0.1:9"
HANGS = """
import pytest

@pytest.mark.contract("E22", since=4)
def test_later():
    assert 413 == 200

@pytest.mark.craft
@pytest.mark.parametrize("number", range(4))
def test_craft(number):
    raise TimeoutError

@pytest.mark.contract("T1", "T2")
def test_contract():
    pass
"""
GIVEN_UP = """
import pytest

pytestmark = pytest.mark.contract("T1")

@pytest.fixture(scope="module")
def kept():
    yield

@pytest.mark.parametrize("number", range(9))
def test_waits(kept, number):
    raise TimeoutError
"""
MANY = """
import pytest

@pytest.mark.contract("T1")
@pytest.mark.every_variant
@pytest.mark.parametrize("number", range(9))
def test_every(number):
    pass

@pytest.mark.contract("T1")
@pytest.mark.parametrize("number", range(9))
def test_some(number):
    pass

@pytest.mark.contract("T1")
def test_again(restartable):
    pass

@pytest.mark.craft
def test_craft():
    pass
"""
FINE = """
import pytest

@pytest.mark.contract("T3")
def test_fine():
    pass
"""


def run(directory: Path, *options: str, base_url: str = NOBODY, **sources: str) -> Suite:
    """Run suites of one file each under the plugin, and return its record."""
    events = directory / "events.jsonl"
    events.touch()
    for suite, source in sources.items():
        (directory / suite).mkdir()
        (directory / suite / f"test_{suite}.py").write_text(source, encoding="utf-8")
    plugins = [f"-p{name}" for name in ("course.harness.plugin", "tools.grade.plugin")]
    command = [sys.executable, "-m", "pytest", *plugins, "-pno:cacheprovider", "-pno:randomly"]
    command += [f"--grade-events={events}", f"--base-url={base_url}", "--inherited=full", "-q"]
    command += [*options, f"--rootdir={directory}", "--strict-markers", *sources]
    command += ["-o", "markers=contract: c\ncraft: c", "--import-mode=importlib"]
    subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    return read_suite(events.read_text(encoding="utf-8").splitlines())


def names(suite: Suite) -> list[str]:
    """Return the tests that ran, in order."""
    return [outcome.test.rpartition("::")[2] for outcome in suite.outcomes]


def test_contract_tests_come_first_and_craft_that_hangs_is_left_out(tmp_path: Path) -> None:
    suite = run(tmp_path, "--stage=1", stage01=HANGS)
    assert names(suite) == ["test_contract", "test_later", "test_craft[0]", "test_craft[1]"]
    by_name = dict(zip(names(suite), suite.outcomes, strict=True))
    assert by_name["test_contract"].cites == ("T1", "T2")
    assert not by_name["test_contract"].craft
    assert by_name["test_later"].craft  # before stage 4
    assert (suite.gave_up, suite.missing, len(suite.missing_craft)) == ((), set(), 2)


def test_strict_counts_craft_tests(tmp_path: Path) -> None:
    suite = run(tmp_path, "--stage=1", "--grade-strict", stage01=HANGS)
    assert suite.craft == ()
    assert len(suite.outcomes) == 6
    assert not any(outcome.craft for outcome in suite.outcomes)


def test_a_suite_that_is_given_up_does_not_stop_the_others(tmp_path: Path) -> None:
    suite = run(tmp_path, "--stage=2", stage01=GIVEN_UP, stage02=FINE)
    assert [one.directory for one in suite.gave_up] == ["stage01/"]
    ends = [(outcome.test.partition("/")[0], outcome.verdict) for outcome in suite.outcomes]
    assert ends == [("stage01", "failed")] * 5 + [("stage02", "passed")]
    assert len(suite.missing) == 4


@pytest.mark.parametrize(("stage", "every", "some"), [(1, 9, 6), (2, 1, 1)])
def test_every_variant_runs_at_the_stage_that_names_the_test(
    tmp_path: Path, stage: int, every: int, some: int
) -> None:
    options = ("--grade-quick", "--grade-variants=6", "--grade-earlier-variants=1")
    suite = run(tmp_path, f"--stage={stage}", *options, stage01=MANY)
    assert len([test for test in suite.chosen if "test_every[" in test]) == every
    assert len([test for test in suite.chosen if "test_some[" in test]) == some


def test_a_test_that_needs_a_second_server_reports_it_and_craft_can_be_left_out(
    tmp_path: Path,
) -> None:
    suite = run(tmp_path, "--stage=1", "--grade-no-craft", stage01=MANY)
    (again,) = [outcome for outcome in suite.outcomes if outcome.needs_cmd]
    assert (again.function.rpartition("::")[2], again.verdict) == ("test_again", "skipped")
    assert again.reason == NEEDS_CMD
    assert len(suite.outcomes) == 19
