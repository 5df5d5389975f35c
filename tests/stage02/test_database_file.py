"""Requirements 2.1 and 2.2: the database file of the app, read without any code of the app."""

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer

pytestmark = pytest.mark.craft

MADE = 30  # todos
plain = pytest.mark.deployment("plain")


@pytest.mark.requirement("2.1")
@plain
def test_a_todo_is_stored_as_a_row_in_sqlite(api: Api, launched_server: LaunchedServer) -> None:
    todo = api.create_todo("Молоко", description=None, completed=True)
    statement = "SELECT title, description, completed FROM todos WHERE id = ?"
    assert launched_server.database.query(statement, todo["id"]) == [("Молоко", None, 1)]
    assert launched_server.database_file.read_bytes()[:15] == b"SQLite format 3"


@pytest.mark.requirement("2.3")
def test_a_todo_is_committed_before_its_answer_is_sent(
    api: Api, launched_server: LaunchedServer
) -> None:
    statement = "SELECT count(*) FROM todos WHERE id = ?"
    made = [launched_server.database.query(statement, api.create_todo()["id"]) for _ in range(MADE)]
    assert made == [[(1,)]] * MADE  # an app that commits after the answer misses some


@pytest.mark.requirement("2.1")
def test_a_deleted_todo_has_no_row(api: Api, launched_server: LaunchedServer) -> None:
    todo_id = api.create_todo()["id"]
    api.delete_todo(todo_id)
    assert launched_server.database.query("SELECT * FROM todos WHERE id = ?", todo_id) == []


@pytest.mark.requirement("2.3")
@plain
def test_the_table_itself_never_reuses_an_id(
    launched_server: LaunchedServer,
) -> None:
    definition = "SELECT sql FROM sqlite_master WHERE name = 'todos'"
    assert "AUTOINCREMENT" in launched_server.database.query(definition)[0][0]


@pytest.mark.requirement("2.5")
@plain
def test_every_constraint_has_a_name(launched_server: LaunchedServer) -> None:
    definitions = "SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL"
    lines = [
        line.strip()
        for (definition,) in launched_server.database.query(definitions)
        for line in definition.splitlines()
    ]
    kinds = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK")
    assert [line for line in lines if line.startswith(kinds)] == []


@pytest.mark.requirement("2.1")
@plain
def test_the_database_uses_wal_so_readers_and_writers_do_not_block(
    launched_server: LaunchedServer,
) -> None:
    assert launched_server.database.query("PRAGMA journal_mode") == [("wal",)]
