"""A database that cannot be used: one line at the start that says why, 503 in mid-work."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.harness.driver import NO_BODY, Api
from tests.harness.plugin import Launch
from tests.harness.server import LaunchedServer
from tests.harness.waiting import in_parallel

LONGER_THAN_ANY_WAIT = 20.0  # seconds until a writer must have given up
plain = pytest.mark.deployment("plain")

GARBAGE = b"This is not a database. " * 500


def garbage_instead(server: LaunchedServer) -> None:
    """Leave a file that is no database where the database should be."""
    server.database_file.write_bytes(GARBAGE)


def nowhere(server: LaunchedServer) -> None:
    """Name a database in a directory that does not exist."""
    missing = server.data_dir / "no" / "such" / "directory" / "todo.db"
    server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{missing.as_posix()}"


def newer_than_the_code(server: LaunchedServer) -> None:
    """Leave the database of a version that is not written yet."""
    statement = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    server.database.execute(statement)
    server.database.execute("INSERT INTO alembic_version VALUES ('9999_from_the_future')")


def not_migrated_in_production(server: LaunchedServer) -> None:
    """Ask for production, where migrating is a step of its own, and leave that step out."""
    server.settings["ENVIRONMENT"] = "production"


def misspelled_in_dotenv(server: LaunchedServer) -> None:
    """Give a setting a value that it cannot have, in the file that settings are also read from."""
    (server.data_dir / ".env").write_text("ENVIRONMENT=prodution\n", encoding="utf-8")


Spoil = Callable[[LaunchedServer], None]
Refused = dict[Spoil, tuple[LaunchedServer, int | None]]

REASONS: dict[Spoil, str] = {
    garbage_instead: "not a database",
    nowhere: "unable to open database file",
    newer_than_the_code: "9999_from_the_future",
    not_migrated_in_production: "alembic upgrade head",
    misspelled_in_dotenv: "ENVIRONMENT",
}


@dataclass
class LockedOut:
    """What became of the writers of one todo while another process held the lock throughout."""

    todo: dict[str, Any]
    answers: list[httpx.Response]
    waited: float  # seconds


@dataclass
class Unusable:
    """What servers did with the databases that they could not use."""

    refused: Refused
    locked_out: LockedOut


@pytest.fixture(scope="module")
def unusable(launch_for_module: Launch, launched_server: LaunchedServer) -> Unusable:
    """Start every spoiled server, and try to write to a locked database meanwhile.

    All at once, because it takes a third of the time: the writers wait for seconds.
    """
    servers = {spoil: launch_for_module(start=False) for spoil in REASONS}
    for spoil, server in servers.items():
        spoil(server)
    starts = [server.start for server in servers.values()]
    locked_out: list[LockedOut] = []
    tasks = [*starts, lambda: locked_out.append(write_while_locked(launched_server))]
    in_parallel(len(tasks), lambda number: tasks[number]())
    refused = {spoil: (server, server.exit_code) for spoil, server in servers.items()}
    return Unusable(refused, locked_out[0])


def write_while_locked(server: LaunchedServer) -> LockedOut:
    """Send every kind of write while another process holds the database."""
    with Api(server) as visitor:
        api = visitor.as_new_user()
        todo = api.create_todo("Before")
        path, body = f"/todos/{todo['id']}", {"title": "never stored"}
        requests = [("POST", "/todos", body), ("PUT", path, body), ("PATCH", path, body)]
        requests.append(("DELETE", path, NO_BODY))
        with server.database.write_lock():
            asked = time.monotonic()
            answers = in_parallel(
                len(requests),
                lambda number: api.request(*requests[number][:2], json=requests[number][2]),
            )
            waited = time.monotonic() - asked
        assert api.get_todo(todo["id"]) == todo
        assert api.patch_todo(todo["id"], title="After")["title"] == "After"
        return LockedOut(todo, answers.results, waited)


@pytest.fixture(scope="module")
def refused(unusable: Unusable) -> Refused:
    """Every spoiled server with the exit code of its start; None for one that started after all."""
    return unusable.refused


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(spoil, marks=plain if spoil is garbage_instead else (), id=spoil.__name__)
        for spoil in REASONS
    ],
)
def test_it_does_not_start_and_one_line_says_why(refused: Refused, spoil: Spoil) -> None:
    server, exit_code = refused[spoil]
    assert exit_code not in (0, None)
    lines = server.log_text().splitlines()
    reasons = [line for line in lines if line.startswith("ERROR") and "Exiting" not in line]
    assert len(reasons) == 1, server.log_text()
    assert REASONS[spoil] in reasons[0]
    assert "Traceback" not in server.log_text()


@plain
def test_a_file_that_is_no_database_is_left_as_it_was(refused: Refused) -> None:
    server, _ = refused[garbage_instead]
    assert server.database_file.read_bytes() == GARBAGE


@pytest.mark.parametrize("spoil", [newer_than_the_code, not_migrated_in_production])
def test_a_database_that_was_refused_got_no_tables(refused: Refused, spoil: Spoil) -> None:
    server, _ = refused[spoil]
    assert set(server.database.tables()) <= {"alembic_version"}


def test_a_database_that_stays_locked_is_503_and_then_works_again(
    unusable: Unusable, launched_server: LaunchedServer
) -> None:
    locked_out = unusable.locked_out
    assert [answer.status_code for answer in locked_out.answers] == [503] * 4
    for answer in locked_out.answers:
        assert isinstance(answer.json()["detail"], str)
        assert int(answer.headers["retry-after"]) > 0
    assert locked_out.waited < LONGER_THAN_ANY_WAIT
    stored = "SELECT count(*) FROM todos WHERE title = 'never stored'"
    assert launched_server.database.query(stored) == [(0,)]
