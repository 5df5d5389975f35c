"""Tests of one class run on one worker, all others wherever there is room."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.scheduling import scope_of
from tools.course import ROOT

SOURCE = """
import pytest

@pytest.mark.parametrize("number", range(4))
class TestShared:
    def test_it(self, number): ...

@pytest.mark.parametrize("number", range(4))
def test_by_itself(number): ...
"""


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/x.py::test_it", "tests/x.py::test_it"),
        ("tests/x.py::test_it[a::b]", "tests/x.py::test_it[a::b]"),
        ("tests/x.py::TestShared::test_it", "tests/x.py::TestShared"),
        ("tests/x.py::TestShared::test_it[1]", "tests/x.py::TestShared"),
    ],
)
def test_a_class_is_handed_out_as_one(test: str, scope: str) -> None:
    assert scope_of(test) == scope


def test_workers_take_tests_that_way(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SOURCE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.harness.plugin", "-v", "-n", "2"]
    done = subprocess.run(
        [*command, "--dist=loadgroup", "-p", "no:cacheprovider", "test_sample.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    ran = re.findall(r"^\[(gw\d)\] .* PASSED test_sample\.py::(\w+)", done.stdout, re.MULTILINE)
    assert len(ran) == 8, done.stdout + done.stderr
    assert len({worker for worker, name in ran if name == "TestShared"}) == 1
