"""Requirements 2.3 and 2.5: a production server keeps acknowledged data after a kill."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.database import SQLiteFile
from course.harness.driver import Api
from course.harness.learners import LearnersServer
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel

BEFORE_THE_KILL = 40  # todos

pytestmark = [
    pytest.mark.craft,
    pytest.mark.timeout(90),
]  # two starts; the default timeout of graded tests is shorter


@pytest.fixture(scope="module")
def in_production(launch_for_module: Launch, stage_directory: Path) -> LaunchedServer:
    """Return a server that runs in production.

    Two Alembic commands migrated its database at the same time, so one waited for the other.
    """
    server = launch_for_module(start=False, ENVIRONMENT="production")
    migrated = in_parallel(
        2, lambda _: server.run("alembic", "upgrade", "head", cwd=stage_directory)
    )
    assert [done.returncode for done in migrated.results] == [0, 0], migrated
    server.start()
    return server


@pytest.fixture
def private_server(request: pytest.FixtureRequest) -> LaunchedServer:
    """Return a server that tests of this file may stop and kill; each test leaves it running."""
    is_ours = not request.config.getoption("base_url")
    server: LaunchedServer = request.getfixturevalue("in_production" if is_ours else "restartable")
    return server


@pytest.fixture
def api(private_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of that server."""
    with Api(private_server) as visitor:
        yield visitor.as_new_user()


@pytest.mark.requirement("2.5")
@pytest.mark.usefixtures("stage_directory")
def test_a_production_server_starts_after_alembic_has_migrated(api: Api) -> None:
    assert api.get_todo(api.create_todo("in production")["id"])["title"] == "in production"


@pytest.mark.requirement("2.3", "3.3")
@pytest.mark.own_stage("app/todos/", "app/database.py", "app/migrate.py")
@pytest.mark.contract("T11", "E24")
def test_a_restart_keeps_all_todos_and_reuses_no_id(
    api: Api, private_server: LaunchedServer
) -> None:
    changed, replaced = api.create_todo("Молоко", description="2 л"), api.create_todo()
    changed = api.patch_todo(changed["id"], completed=True)
    replaced = api.replace_todo(replaced["id"], title="Replaced")
    deleted = api.create_todo()["id"]  # the newest; its id would be reused first
    api.delete_todo(deleted)
    private_server.restart()
    for todo in (changed, replaced):
        answer = api.request("GET", f"/todos/{todo['id']}")
        assert answer.status_code == 200
        assert answer.json() == todo
    assert api.request("GET", f"/todos/{deleted}").status_code == 404
    assert api.create_todo()["id"] != deleted


@pytest.mark.requirement("2.3")
@pytest.mark.own_stage("app/todos/", "app/database.py", "app/migrate.py")
@pytest.mark.contract("T11")
def test_a_kill_right_after_an_answer_loses_no_acknowledged_todo(
    api: Api, private_server: LaunchedServer
) -> None:
    killed = threading.Event()
    acknowledged: list[int] = []

    def write(writer: int) -> None:
        try:
            while not killed.is_set() and (writer > 0 or len(acknowledged) < BEFORE_THE_KILL):
                acknowledged.append(api.create_todo()["id"])
        finally:
            if writer == 0:  # kill right after its last answer, while the others still write
                private_server.end()
                killed.set()

    writers = in_parallel(6, write)
    private_server.start()
    # Requests in progress at that moment got no answer, and no request got an error.
    assert [error for error in writers.errors if isinstance(error, AssertionError)] == []
    assert set(acknowledged) <= {todo["id"] for todo in api.every_todo()}
    if not isinstance(private_server, LearnersServer) and isinstance(
        private_server.database, SQLiteFile
    ):
        assert private_server.database.query("PRAGMA integrity_check") == [("ok",)]
