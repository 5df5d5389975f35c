"""The tests of earlier suites in the quick selection, and the order of files for workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from course.catalog.requirements import MARK
from course.catalog.stages import ROOT, load_course
from course.harness.selection import spread
from course.tests.inner_pytest import HARNESS, WITHOUT, run_in

SUITE = """
import pytest

@pytest.mark.parametrize("number", range(5))
def test_many(number): ...

def test_one(): ...

@REQUIREMENT("4.6", "D.2")
@pytest.mark.parametrize("number", range(5))
def test_of_row(number): ...

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.alone
def test_alone(): ...

@pytest.mark.own_stage
def test_own(): ...

@pytest.mark.own_stage("app/auth/", "app/jobs/")
def test_own_code(): ...

@pytest.mark.nightly
def test_nightly(): ...

@pytest.fixture
def browser_context(): ...

@pytest.mark.page("app/gallery")
def test_gallery(browser_context): ...

def test_other_page(browser_context): ...
""".replace("REQUIREMENT", MARK)  # written out, the mark would count as one of this file


def selected(root: Path, *options: str) -> Counter[str]:
    """Return how many variants of each test are collected below a directory, by `suite test`."""
    printed = run_in(root, *WITHOUT, "--collect-only", "-q", *options)
    found = Counter[str]()
    for node_id in (line for line in printed.splitlines() if "::" in line):
        path, test = node_id.split("::")
        found[f"{Path(path).parts[-2]} {test.partition('[')[0]}"] += 1
    return found


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """A directory with the same tests as the suites of stages 3, 4 and 5."""
    for name in ("stage03", "stage04", "stage05"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"test_{name}.py").write_text(SUITE, encoding="utf-8")
    return tmp_path


def test_the_own_suite_is_whole_and_earlier_ones_are_a_selection(suites: Path) -> None:
    found = selected(suites, "--stage=5")
    assert {name: n for name, n in found.items() if name.startswith("stage05")} == {
        "stage05 test_many": 5,
        "stage05 test_of_row": 5,
        "stage05 test_one": 1,
        "stage05 test_slow": 1,
        "stage05 test_alone": 1,
        "stage05 test_own": 1,
        "stage05 test_own_code": 1,
        "stage05 test_gallery": 1,
        "stage05 test_other_page": 1,
    }
    assert {name: n for name, n in found.items() if name.startswith("stage03")} == {
        "stage03 test_many": 1,
        "stage03 test_of_row": 1,
        "stage03 test_one": 1,
        "stage03 test_own_code": 1,
    }


def test_the_stage_of_a_requirement_runs_every_variant_of_its_tests(suites: Path) -> None:
    assert selected(suites, "--stage=4")["stage03 test_of_row"] == 5
    assert selected(suites, "--stage=5")["stage04 test_of_row"] == 1


def test_a_page_is_tested_again_by_the_stage_that_changes_it(suites: Path) -> None:
    assert selected(suites, "--stage=4")["stage03 test_gallery"] == 1  # stage 4 adds the gallery
    assert selected(suites, "--stage=5")["stage04 test_gallery"] == 0


def test_an_expensive_test_runs_again_where_the_code_that_it_names_changes(suites: Path) -> None:
    assert selected(suites, "--stage=4")["stage03 test_own_code"] == 0
    assert selected(suites, "--stage=5")["stage04 test_own_code"] == 1  # it adds jobs
    assert selected(suites, "--stage=5")["stage04 test_own"] == 0


def test_the_code_that_a_mark_names_is_in_a_stage() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    marks = [mark for source in sources for mark in re.findall(r"mark\.own_stage\((.+)\)", source)]
    named = {path for mark in marks for path in re.findall(r'"(.+?)"', mark)}
    files = {path for stage in load_course() for path in stage.adds}
    assert named
    assert [path for path in named if not any(file.startswith(path) for file in files)] == []


def test_full_runs_every_test(suites: Path) -> None:
    found = selected(suites, "--stage=5", "--inherited=full")
    assert len(found) == 3 * 10
    assert found["stage05 test_nightly"] == 1
    assert found["stage03 test_many"] == 5


def test_the_selection_does_not_depend_on_the_random_order(suites: Path) -> None:
    chosen = set()
    for seed in ("1", "2", "3"):
        printed = run_in(suites, "--collect-only", "-q", "--stage=5", f"--randomly-seed={seed}")
        chosen.add(frozenset(line for line in printed.splitlines() if "stage03" in line))
    assert len(chosen) == 1


def ran_first_and_last(suites: Path, dist: str) -> tuple[str, str]:
    """Return what a worker ran first and last, as pytest prints it."""
    workers = ("-n", "1", f"--dist={dist}", "--no-loadscope-reorder")
    # A whole process: its worker is another one.
    command = [sys.executable, "-m", "pytest", *HARNESS, "-v", *workers, "--stage=5", "stage05"]
    done = subprocess.run(
        command,
        cwd=suites,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    ran = [line for line in done.stdout.splitlines() if "PASSED" in line]
    return ran[0], ran[-1]


def test_workers_get_the_slowest_file_first(suites: Path) -> None:
    cheap = "\n".join(f"def test_{number}(): ..." for number in range(10))
    (suites / "stage05" / "test_a_cheap.py").write_text(cheap, encoding="utf-8")
    first, last = ran_first_and_last(suites, "loadfile")
    assert "test_stage05.py" in first
    assert "test_a_cheap.py" in last


def test_workers_that_share_files_take_the_test_that_takes_longest_first(suites: Path) -> None:
    many = "\n".join(f"@pytest.mark.slow\ndef test_{number}(): ..." for number in range(10))
    long = (
        "@pytest.mark.slow\n@pytest.mark.timeout(600)\ndef test_long(): ...\ndef test_cheap(): ..."
    )
    for name, source in (("a_many", many), ("long", long)):
        file = suites / "stage05" / f"test_{name}.py"
        file.write_text(f"import pytest\n{source}\n", encoding="utf-8")
    first, last = ran_first_and_last(suites, "loadgroup")
    assert "test_long" in first
    assert "test_a_many.py" not in last


@pytest.mark.parametrize(
    ("most", "chosen"), [(0, "abcde"), (1, "a"), (2, "ae"), (3, "ace"), (9, "abcde")]
)
def test_variants_are_spread_evenly(most: int, chosen: str) -> None:
    assert "".join(spread("abcde", most)) == chosen
