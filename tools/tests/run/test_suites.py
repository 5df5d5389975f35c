"""How the tests of a stage run: suites, lanes, and repeated failures."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, load_course
from tools.run import suites
from tools.run.suites import HARNESS, Outcome, keep_flaky, parallel, run_lanes, stage_run

STAGES = load_course()


class Pytest:
    """Replaces pytest: each run fails the given tests and records its arguments."""

    def __init__(self, cache: Path, *failing: Sequence[str], code: int | None = None) -> None:
        self.runs: list[list[str]] = []
        self._last_failed = cache / "v" / "cache" / "lastfailed"
        self._failing = list(failing)
        self._code = code

    def __call__(self, arguments: Sequence[str]) -> int:
        """Run once more."""
        self.runs.append(list(arguments))
        failed = self._failing.pop(0) if self._failing else []
        self._last_failed.parent.mkdir(parents=True, exist_ok=True)
        self._last_failed.write_text(json.dumps(dict.fromkeys(failed, True)), encoding="utf-8")
        return (1 if failed else 0) if self._code is None else self._code


@pytest.fixture
def suite_with_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a suite with a test that runs alone."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_time.py").write_text("@pytest.mark.alone\n", encoding="utf-8")
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    return "suite"


def test_a_green_run_is_one_run(tmp_path: Path) -> None:
    pytest_ = Pytest(tmp_path)
    assert run_lanes(pytest_, ["tests/x"], tmp_path, alone_in=[], workers=2) == Outcome()
    ((*_, marker, expression, option, number, dist, order),) = pytest_.runs
    assert (marker, expression, option, number) == ("-m", "not alone", "-n", "2")
    assert (dist, order) == ("--dist=loadfile", "--no-loadscope-reorder")


def test_share_files_distributes_the_tests_of_a_file(tmp_path: Path) -> None:
    pytest_ = Pytest(tmp_path)
    run_lanes(pytest_, ["tests/x"], tmp_path, alone_in=[], workers=2, share_files=True)
    assert "--dist=loadgroup" in pytest_.runs[0]


def test_tests_that_measure_run_after_the_others_without_workers(
    tmp_path: Path, suite_with_measurements: str
) -> None:
    pytest_ = Pytest(tmp_path)
    run_lanes(pytest_, [suite_with_measurements], tmp_path, alone_in=[suite_with_measurements])
    assert [run[run.index("-m") + 1] for run in pytest_.runs] == ["not alone", "alone"]
    assert "-n" not in pytest_.runs[1]
    assert suite_with_measurements not in pytest_.runs[1], "it would collect all of the suite"
    assert pytest_.runs[1][-1] == f"{suite_with_measurements}/test_time.py"


def test_a_run_of_one_file_measures_nothing_of_another_file(
    tmp_path: Path, suite_with_measurements: str
) -> None:
    pytest_ = Pytest(tmp_path)
    suite = suite_with_measurements
    run_lanes(pytest_, [f"{suite}/test_events.py"], tmp_path, alone_in=[suite])
    assert [run[run.index("-m") + 1] for run in pytest_.runs] == ["not alone"]


def test_a_test_that_fails_twice_has_failed(tmp_path: Path) -> None:
    pytest_ = Pytest(tmp_path, ["x.py::a", "x.py::b"], ["x.py::a"])
    outcome = run_lanes(pytest_, ["tests/x"], tmp_path, alone_in=[])
    assert outcome == Outcome(1, failed=["x.py::a"], flaky=["x.py::b"])
    assert "--last-failed" in pytest_.runs[1]
    assert "-n" not in pytest_.runs[1]


def test_a_test_that_passes_alone_is_flaky_and_the_run_goes_on(tmp_path: Path) -> None:
    outcome = run_lanes(Pytest(tmp_path, ["x.py::a"], []), ["tests/x"], tmp_path, alone_in=[])
    assert outcome == Outcome(0, flaky=["x.py::a"])


def test_failures_of_both_lanes_run_again(tmp_path: Path, suite_with_measurements: str) -> None:
    pytest_ = Pytest(tmp_path, ["x.py::a"], ["x.py::b"], ["x.py::b"])
    suite = suite_with_measurements
    outcome = run_lanes(pytest_, [suite], tmp_path, alone_in=[suite])
    assert outcome == Outcome(1, failed=["x.py::b"], flaky=["x.py::a"])


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_run_that_broke_off_is_not_repeated(tmp_path: Path, code: int) -> None:
    pytest_ = Pytest(tmp_path, ["a"], code=code)
    assert run_lanes(pytest_, ["tests/x"], tmp_path, alone_in=[]).exit_code == code
    assert len(pytest_.runs) == 1


@pytest.mark.parametrize("place", ["gw0", "tests/stage01/test_todos.py"])
def test_tests_that_cannot_be_collected_are_a_failure(tmp_path: Path, place: str) -> None:
    outcome = run_lanes(Pytest(tmp_path, [place], []), ["tests/x"], tmp_path, alone_in=[])
    assert outcome == Outcome(1, failed=[place])


def test_failures_of_an_earlier_run_do_not_count(tmp_path: Path) -> None:
    Pytest(tmp_path, ["of an earlier run"])([])
    assert run_lanes(lambda _: 0, ["tests/x"], tmp_path, alone_in=[]) == Outcome()


def test_one_worker_needs_no_options() -> None:
    assert parallel(1) == []


def test_flaky_tests_are_kept_the_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "flaky.json"
    keep_flaky("stage02", [], file)
    assert not file.exists()
    keep_flaky("stage02", ["a"], file)
    keep_flaky("check", ["b"], file)
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert [(row["test"], row["session"]) for row in rows] == [("b", "check"), ("a", "stage02")]


def test_quick_repeats_no_suite_that_a_further_run_has() -> None:
    capstone = stage_run(STAGES, STAGES[-1], "quick")
    plain, full = capstone.runs
    assert [word for word in plain if word.startswith("tests/")] == ["tests/capstone"]
    assert {word for word in full if word.startswith("tests/")} == {
        f"tests/{stage.name}" for stage in STAGES
    }


def test_full_repeats_the_further_runs_of_earlier_stages() -> None:
    stages = [replace(STAGES[0], also=("--queue=celery tests/stage01",)), *STAGES[1:3]]
    assert [len(stage_run(stages, stage, "quick").runs) for stage in stages] == [2, 1, 1]
    assert [len(stage_run(stages, stage, "full").runs) for stage in stages] == [2, 2, 2]


def local_modules(path: Path) -> set[str]:
    """Return the modules of this repository that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.partition(".")[0] in ("course", "tools", "tests")}


def file_of(module: str) -> Path | None:
    """Return the file of a module of this repository."""
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py")
                 if file.is_file()), None)  # fmt: skip


def is_known(path: Path, known: Sequence[str]) -> bool:
    """Return whether a receipt depends on this file."""
    name = path.relative_to(ROOT).as_posix()
    return any(name == entry or name.startswith(f"{entry}/") for entry in known)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_receipt_depends_on_every_module_that_the_tests_import(stage: object) -> None:
    (number,) = (n for n, other in enumerate(STAGES) if other is stage)
    planned = stage_run(STAGES, STAGES[number], "quick")
    directories = [ROOT / name for name in (*planned.suites, "course/harness")]
    waiting = [path for directory in directories for path in directory.rglob("*.py")]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        assert is_known(path, planned.paths), path
        for module in local_modules(path):
            file = file_of(module)
            if file is not None and file not in seen:
                seen.add(file)
                waiting.append(file)


def test_the_inputs_of_a_receipt_exist() -> None:
    assert [name for name in HARNESS if not (ROOT / name).exists()] == []
