"""Databases that cannot be used, and what servers make of them."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from course.harness.driver import NO_BODY, Api
from course.harness.server import LaunchedServer, ServerDidNotStart
from course.harness.waiting import in_parallel

# Settings of a server whose writers give up soon: SQLite's, and PostgreSQL's.
IMPATIENT = {"DATABASE_BUSY_TIMEOUT": "1", "DATABASE_STATEMENT_TIMEOUT": "1"}
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
Refused = dict[Spoil, tuple[LaunchedServer, int | None]]  # server and exit code of its start

REASONS: dict[Spoil, str] = {
    garbage_instead: "not a database",
    nowhere: "unable to open database file",
    newer_than_the_code: "9999_from_the_future",
    misspelled_in_dotenv: "ENVIRONMENT",
}
SPOILED = [*REASONS, not_migrated_in_production]


@dataclass
class LockedOut:
    """What became of the writers of one todo while another process held the lock throughout."""

    todo: dict[str, Any]
    answers: list[httpx.Response]
    waited: float  # seconds


@dataclass
class Unusable:
    """What servers did with the databases that they could not use.

    An exit code is None for one that started after all.
    """

    refused: Refused
    locked_out: LockedOut
    locked: LaunchedServer


def try_to_use(spoiled: dict[Spoil, LaunchedServer], locked: LaunchedServer) -> Unusable:
    """Start every spoiled server, and try to write to a locked database meanwhile."""
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
