"""Rows 2.1 and 2.2: the file that the app leaves, read with nothing of the app."""

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer

pytestmark = pytest.mark.craft

MADE = 30  # todos
plain = pytest.mark.deployment("plain")


@pytest.mark.requirement("2.1")
@plain
def test_a_todo_is_a_row_of_an_sqlite_file(api: Api, launched_server: LaunchedServer) -> None:
    todo = api.create_todo("Молоко", description=None, completed=True)
    statement = "SELECT title, description, completed FROM todos WHERE id = ?"
    assert launched_server.database.query(statement, todo["id"]) == [("Молоко", None, 1)]
    assert launched_server.database_file.read_bytes()[:15] == b"SQLite format 3"


@pytest.mark.requirement("2.3")
def test_what_is_acknowledged_is_in_the_database_at_once(
    api: Api, launched_server: LaunchedServer
) -> None:
    statement = "SELECT count(*) FROM todos WHERE id = ?"
    made = [launched_server.database.query(statement, api.create_todo()["id"]) for _ in range(MADE)]
    assert made == [[(1,)]] * MADE  # a commit after the answer would be late for some


@pytest.mark.requirement("2.1")
def test_a_deleted_todo_is_no_row(api: Api, launched_server: LaunchedServer) -> None:
    todo_id = api.create_todo()["id"]
    api.delete_todo(todo_id)
    assert launched_server.database.query("SELECT * FROM todos WHERE id = ?", todo_id) == []


@pytest.mark.requirement("2.3")
@plain
def test_ids_are_never_given_out_twice_by_the_table_itself(
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
def test_readers_and_a_writer_do_not_wait_for_each_other(launched_server: LaunchedServer) -> None:
    assert launched_server.database.query("PRAGMA journal_mode") == [("wal",)]
