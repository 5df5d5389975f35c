"""Tests of one class run on one worker, all others on any free worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.catalog.stages import ROOT
from course.harness.selection import scope_of
from course.harness.waiting import eventually
from course.tests.conftest import SAMPLE_SERVER

SOURCE = """
import pytest

@pytest.mark.parametrize("number", range(4))
class TestShared:
    def test_it(self, number): ...

@pytest.mark.parametrize("number", range(4))
def test_by_itself(number): ...
"""


WAITING = f"""
import sys, threading
from pathlib import Path
from course.harness.server import LaunchedServer

def test_it(tmp_path):
    server = LaunchedServer([sys.executable, {str(SAMPLE_SERVER)!r}, "{{port}}"], tmp_path)
    server.start()
    Path("pid").write_text(f"{{server.pid}}\\n")
    threading.Event().wait(60)
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
def test_the_tests_of_a_class_go_to_one_worker(test: str, scope: str) -> None:
    assert scope_of(test) == scope


def workers(directory: Path, source: str, *options: str) -> subprocess.Popen[str]:
    """Start pytest with workers on a test file with this source."""
    (directory / "test_sample.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "course.harness.plugin", *options]
    return subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "test_sample.py"],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_workers_get_tests_one_by_one_and_classes_together(tmp_path: Path) -> None:
    with workers(tmp_path, SOURCE, "-v", "-n", "2", "--dist=loadgroup") as process:
        printed, _ = process.communicate()
    ran = re.findall(r"^\[(gw\d)\] .* PASSED test_sample\.py::(\w+)", printed, re.MULTILINE)
    assert len(ran) == 8, printed
    assert len({worker for worker, name in ran if name == "TestShared"}) == 1


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """In this block processes start like with `&` in a shell: they ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_background")
def test_an_interrupted_run_leaves_no_server_of_a_worker_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with workers(tmp_path, WAITING, "-n", "1") as process:
        eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), within=60)
        process.send_signal(signal.SIGTERM)  # only to pytest and not to its workers, as CI does
        process.communicate()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
