"""Requirement D.2: an app needs only its stage's directory, and it stops cleanly."""

import hashlib
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.catalog.environment import stage_python
from course.catalog.stages import find_stage, load_course
from course.harness.driver import Api, Todo
from course.harness.server import FIRST_STAGE_WITH_USERS, LaunchedServer

pytestmark = pytest.mark.craft

# Git ignores these files; a learner's copy does not have them.
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".env", "*.db", "*.db-*", "media", ".*_cache")
STOPS_WITHIN = 5.0  # seconds


@dataclass(frozen=True)
class Visit:
    """The results of a run: a copy of the stage was started, used and stopped."""

    todo: Todo
    exit_code: int
    log: str
    original_before: dict[str, str]
    original_after: dict[str, str]


def contents(directory: Path) -> dict[str, str]:
    """Return a digest of every file under `directory` by its path, without the caches of tools."""
    files = {path.relative_to(directory): path for path in directory.rglob("*") if path.is_file()}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if not any(part == "__pycache__" or part.endswith("_cache") for part in name.parts)
    }


@pytest.fixture(scope="module")
def visit(stage: int, stage_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """Run a copy of the stage as its README says: in its directory, without any setting."""
    directory = tmp_path_factory.mktemp("standalone")
    copy = directory / "copied"
    before = contents(stage_directory)
    shutil.copytree(stage_directory, copy, ignore=NOT_COPIED)
    server = LaunchedServer(
        [
            str(stage_python(find_stage(load_course(), str(stage)))),
            *("-m", "uvicorn", "app.main:app", "--port", "{port}"),
        ],
        directory,
        working_directory=copy,
        has_users=stage >= FIRST_STAGE_WITH_USERS,
    )
    server.start()
    try:
        with Api(server) as visitor:
            api = visitor.as_new_user()
            todo = api.get_todo(api.create_todo("from a copy")["id"])
            # The connection is still open, like a browser's.
            exit_code = server.stop(signal.SIGTERM, within=STOPS_WITHIN)
    finally:
        server.end()
    return Visit(todo, exit_code, server.log_text(), before, contents(stage_directory))


@pytest.mark.requirement("D.2")
@pytest.mark.contract("E26")
def test_a_copy_of_the_directory_runs_alone(visit: Visit) -> None:
    assert visit.todo["title"] == "from a copy"


@pytest.mark.requirement("D.2")
def test_a_running_copy_does_not_change_the_original(visit: Visit) -> None:
    assert visit.original_after == visit.original_before


@pytest.mark.requirement("D.2")
def test_sigterm_stops_the_server_cleanly(visit: Visit) -> None:
    assert visit.exit_code in (0, -signal.SIGTERM)
    assert "Traceback" not in visit.log
