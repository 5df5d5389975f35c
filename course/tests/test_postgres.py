"""The PostgreSQL of the tests starts, answers, survives faults, and leaves nothing behind."""

from collections.abc import Iterator

import psycopg
import pytest

from course.harness.database import PostgresDatabase, database_at
from course.harness.postgres import (
    NO_POSTGRES,
    Postgres,
    create_database,
    drop_database,
    postgres_is_available,
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server."""
    if not postgres_is_available():
        pytest.skip(NO_POSTGRES)
    server = Postgres()
    server.start()
    yield server
    server.end()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[PostgresDatabase]:
    """A database of its own for each test, with one row in one table."""
    found = database_at(create_database(postgres.url))
    assert isinstance(found, PostgresDatabase)
    assert found.is_untouched()
    found.execute(
        "CREATE TABLE people (id int PRIMARY KEY, friend int REFERENCES people, name text)"
    )
    found.execute("INSERT INTO people VALUES (?, ?, ?)", 1, 1, "Ada, 100%")
    yield found
    drop_database(found.url)


def test_postgresql_has_the_same_operations_as_sqlite(database: PostgresDatabase) -> None:
    statement = "SELECT id FROM people WHERE name LIKE '%100%' AND id = ?"
    assert database.query(statement, 1) == [(1,)]
    assert database.foreign_keys("people") == {"friend": "people"}
    assert database.tables() == ["people"]
    assert "Ada" in database.text()


def test_writers_wait_for_the_lock_and_readers_do_not(database: PostgresDatabase) -> None:
    impatient = f"{database.url}?options=-c%20lock_timeout%3D100"
    with database.write_lock():
        assert database.query("SELECT id FROM people") == [(1,)]
        with pytest.raises(psycopg.errors.LockNotAvailable):
            PostgresDatabase(impatient).execute("DELETE FROM people")
    database.execute("DELETE FROM people")


def test_a_kill_loses_nothing_and_a_restart_keeps_the_address(
    postgres: Postgres, database: PostgresDatabase
) -> None:
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        database.query("SELECT 1")
    postgres.start()
    postgres.restart()
    assert database.query("SELECT id FROM people") == [(1,)]


def test_a_paused_database_hangs_and_continues(
    postgres: Postgres, database: PostgresDatabase
) -> None:
    postgres.pause()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        PostgresDatabase(f"{database.url}?connect_timeout=2").query("SELECT 1")
    postgres.resume()
    assert database.query("SELECT id FROM people") == [(1,)]


def test_a_connection_needs_the_password(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        database_at(postgres.url.replace(postgres.password, "guessed")).query("SELECT 1")


def test_the_end_leaves_no_process_and_no_files_also_after_a_pause(postgres: Postgres) -> None:
    other = Postgres()
    other.start()
    other.pause()
    programs = other.process.children()
    assert programs
    other.end()
    assert not other.directory.exists()
    assert not other.process.is_running
    assert other.process.children() == []
    assert postgres.process.is_running
