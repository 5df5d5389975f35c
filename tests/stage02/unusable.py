"""Databases that cannot be used, and how servers react to them."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from course.harness.driver import NO_BODY, Api
from course.harness.server import LaunchedServer, ServerDidNotStart
from course.harness.waiting import in_parallel

# Settings that make writers give up soon: SQLite's and PostgreSQL's.
IMPATIENT = {"DATABASE_BUSY_TIMEOUT": "1", "DATABASE_STATEMENT_TIMEOUT": "1"}
GARBAGE = b"This is not a database. " * 500


def garbage_instead(server: LaunchedServer) -> None:
    """Write a file that is not a database to the path of the database."""
    server.database_file.write_bytes(GARBAGE)


def nowhere(server: LaunchedServer) -> None:
    """Set the database to a path in a directory that does not exist."""
    missing = server.data_dir / "no" / "such" / "directory" / "todo.db"
    server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{missing.as_posix()}"


def newer_than_the_code(server: LaunchedServer) -> None:
    """Create a database with a schema version that the code does not know."""
    statement = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    server.database.execute(statement)
    server.database.execute("INSERT INTO alembic_version VALUES ('9999_from_the_future')")


def not_migrated_in_production(server: LaunchedServer) -> None:
    """Set production mode, where migrating is a separate step, and skip that step."""
    server.settings["ENVIRONMENT"] = "production"


def misspelled_in_dotenv(server: LaunchedServer) -> None:
    """Give a setting an invalid value in the `.env` file."""
    (server.data_dir / ".env").write_text("ENVIRONMENT=prodution\n", encoding="utf-8")


Spoil = Callable[[LaunchedServer], None]
Refused = dict[Spoil, tuple[LaunchedServer, int | None]]  # server, exit code of its start

REASONS: dict[Spoil, str] = {
    garbage_instead: "not a database",
    nowhere: "unable to open database file",
    newer_than_the_code: "9999_from_the_future",
    misspelled_in_dotenv: "ENVIRONMENT",
}
SPOILED = [*REASONS, not_migrated_in_production]


@dataclass
class LockedOut:
    """The answers to writers of one todo while another process holds the lock."""

    todo: dict[str, Any]
    answers: list[httpx.Response]
    waited: float  # seconds


@dataclass
class Unusable:
    """The results of servers whose databases cannot be used.

    An exit code is None if the server started.
    """

    refused: Refused
    locked_out: LockedOut
    locked: LaunchedServer


def try_to_use(spoiled: dict[Spoil, LaunchedServer], locked: LaunchedServer) -> Unusable:
    """Start every server with a bad database; meanwhile write to a locked database."""
    for spoil, server in spoiled.items():
        spoil(server)
    locked.start()
    locked_out: list[LockedOut] = []

    def start_all() -> None:
        for server in spoiled.values():
            with suppress(ServerDidNotStart):
                server.start()

    def write() -> None:
        locked_out.append(write_while_locked(locked))

    tasks = (start_all, write)
    assert not in_parallel(len(tasks), lambda number: tasks[number]()).errors
    refused = {spoil: (server, server.exit_code) for spoil, server in spoiled.items()}
    return Unusable(refused, locked_out[0], locked)


def write_while_locked(server: LaunchedServer) -> LockedOut:
    """Send every kind of write while another process locks the database."""
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
