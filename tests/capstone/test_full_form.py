"""Requirements C.1 and C.2: in full form two processes serve one app on PostgreSQL."""

from __future__ import annotations

import pytest

from course.harness.database import PostgresDatabase
from course.harness.driver import Api
from course.harness.server import LaunchedServer, Server
from course.harness.waiting import eventually

pytestmark = [pytest.mark.craft, pytest.mark.deployment("full")]

WITHIN = 1.0  # seconds: the maximum age of an entry in the cache of another process


def on_each_process(server: Server, api: Api) -> list[Api]:
    """Return a driver of the same user for each process."""
    return [Api(server, token=api.token, turn=turn) for turn in range(len(server.base_urls))]


@pytest.mark.requirement("C.1")
def test_a_process_shows_what_the_other_has_stored(server: Server, api: Api) -> None:
    here, there = on_each_process(server, api)
    assert here.base_url != there.base_url
    todo = here.create_todo("Молоко", description=None, completed=True)
    eventually(lambda: there.list_todos() == [todo], within=WITHIN)
    changed = there.patch_todo(todo["id"], title="Bread")
    eventually(lambda: here.get_todo(todo["id"]) == changed, within=WITHIN)
    there.delete_todo(todo["id"])
    eventually(lambda: here.list_todos() == [], within=WITHIN)
    assert here.request("GET", f"/todos/{todo['id']}").status_code == 404


@pytest.mark.requirement("C.1")
def test_a_todo_is_a_row_in_postgresql(api: Api, launched_server: LaunchedServer) -> None:
    database = launched_server.database
    assert isinstance(database, PostgresDatabase)
    todo = api.create_todo("Молоко", description=None, completed=True)
    statement = "SELECT title, description, completed FROM todos WHERE id = ?"
    assert database.query(statement, todo["id"]) == [("Молоко", None, True)]
    assert not launched_server.database_file.exists()
