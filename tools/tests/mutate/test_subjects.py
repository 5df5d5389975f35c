"""The grader distinguishes a server that only looks right from a right one with other texts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.catalog.environment import stage_python
from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, find_stage, load_course
from course.harness.selection import spread
from course.harness.server import LaunchedServer
from tools.mutate.workbench import run_tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SUBJECTS = ROOT / "tools" / "tests" / "grade" / "subjects"
STAGES = load_course()
FOREIGN_UNTIL = 3
HOLLOW_UNTIL = 8
# A row is earned only when all of its tests pass, so a few failed tests are enough here. Slow tests
# that would wait in vain are left out.
FEW = 5
ANSWERS_WITHIN = 2  # seconds: a hollow server answers at once or never
SLOW = ("test_gallery.py", "test_page.py", "a_bad_frame", "a_text_arrives")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedServer]:
    """A conforming server without FastAPI."""
    command = [sys.executable, str(SUBJECTS / "foreign.py"), "{port}"]
    server = LaunchedServer(command, tmp_path_factory.mktemp("foreign"), {"BCRYPT_ROUNDS": "4"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedServer]:
    """A server that answers plausible constants."""
    python = stage_python(find_stage(STAGES, str(HOLLOW_UNTIL)))  # it has uvicorn, with WebSocket
    command = [str(python), "-m", "uvicorn", "hollow:app", "--app-dir", str(SUBJECTS)]
    command += ["--port", "{port}", "--log-level", "warning"]
    server = LaunchedServer(command, tmp_path_factory.mktemp("hollow"))
    server.start()
    yield server
    server.stop()


def test_a_conforming_server_of_another_framework_earns_everything(
    foreign: LaunchedServer, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    options = [f"--stage={FOREIGN_UNTIL}", f"--base-url={foreign.base_url}", f"--json={report}"]
    command = [sys.executable, "-m", "tools.grade", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Craft: " in done.stdout  # it is right, and could be better
    statuses = {row["id"]: row["status"] for row in json.loads(report.read_text())["requirements"]}
    assert set(statuses.values()) == {"pass", "not_checked"}
    assert {"1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "2.6", "3.1", "3.2", "3.3", "3.4"} <= {
        row for row, status in statuses.items() if status == "pass"
    }


def test_a_hollow_server_earns_next_to_nothing_at_any_stage(hollow: LaunchedServer) -> None:
    rows = [row for row in load_requirements() if row.stage <= HOLLOW_UNTIL and row.id[0] != "D"]
    few = {
        test
        for row in rows
        for test in spread([one for one in row.tests if not any(s in one for s in SLOW)], FEW)
    }
    stage = find_stage(STAGES, str(HOLLOW_UNTIL))
    options = [f"--base-url={hollow.base_url}", f"--timeout={ANSWERS_WITHIN}"]
    earned = run_tests(ROOT, stage, [*options, *sorted(few)]).rows(rows)
    for number in range(1, HOLLOW_UNTIL + 1):
        so_far = [row.id for row in rows if row.stage <= number]
        # Answers that do not wait for each other are real: a hollow server may earn such a row.
        hollow_earns = [row for row in so_far if earned.get(row)]
        assert len(hollow_earns) < len(so_far) / 10, (number, hollow_earns)
