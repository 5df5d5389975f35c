"""A database that cannot be used stops the start with one line that says why, not a traceback."""

from collections.abc import Callable

import pytest

from tests.harness.plugin import Launch
from tests.harness.server import LaunchedServer
from tests.harness.waiting import in_parallel
from tests.stage02.database import change, query

GARBAGE = b"This is not a database. " * 500


def garbage_instead(server: LaunchedServer) -> None:
    """Leave a file that is no database where the database should be."""
    server.database_file.write_bytes(GARBAGE)


def directory_instead(server: LaunchedServer) -> None:
    """Leave a directory where the database should be."""
    server.database_file.mkdir()


def nowhere(server: LaunchedServer) -> None:
    """Name a database in a directory that does not exist."""
    missing = server.data_dir / "no" / "such" / "directory" / "todo.db"
    server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{missing.as_posix()}"


def newer_than_the_code(server: LaunchedServer) -> None:
    """Leave the database of a version that is not written yet."""
    statement = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    change(server.database_file, statement)
    change(server.database_file, "INSERT INTO alembic_version VALUES ('9999_from_the_future')")


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
    directory_instead: "unable to open database file",
    nowhere: "unable to open database file",
    newer_than_the_code: "9999_from_the_future",
    not_migrated_in_production: "alembic upgrade head",
    misspelled_in_dotenv: "ENVIRONMENT",
}


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> Refused:
    """Every spoiled server with the exit code of its start: all at once, which takes half as long.

    The exit code is None for one that started after all.
    """
    servers = {spoil: launch_for_module(start=False) for spoil in REASONS}
    for spoil, server in servers.items():
        spoil(server)
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return {spoil: (server, server.exit_code) for spoil, server in servers.items()}


@pytest.mark.parametrize("spoil", REASONS, ids=lambda spoil: spoil.__name__)
def test_it_does_not_start_and_one_line_says_why(refused: Refused, spoil: Spoil) -> None:
    server, exit_code = refused[spoil]
    assert exit_code not in (0, None)
    lines = server.log_text().splitlines()
    reasons = [line for line in lines if line.startswith("ERROR") and "Exiting" not in line]
    assert len(reasons) == 1, server.log_text()
    assert REASONS[spoil] in reasons[0]
    assert "Traceback" not in server.log_text()


def test_a_file_that_is_no_database_is_left_as_it_was(refused: Refused) -> None:
    server, _ = refused[garbage_instead]
    assert server.database_file.read_bytes() == GARBAGE


@pytest.mark.parametrize("spoil", [newer_than_the_code, not_migrated_in_production])
def test_a_database_that_was_refused_got_no_tables(refused: Refused, spoil: Spoil) -> None:
    server, _ = refused[spoil]
    tables = query(server.database_file, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert set(tables) <= {("alembic_version",)}
