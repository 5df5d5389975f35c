"""Requirements 3.4 and 2.5: todos without an owner are kept, and no user can see them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course.catalog.stages import find_stage, load_course
from course.harness.database import SQLiteFile
from course.harness.driver import NO_BODY, Api, Todo
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer, stage_server
from tests.stage02.test_migrations import COMMANDS
from tests.stage03.accounts import new_username, register, sign_in, token_of
from tests.stage03.database import copy_database

# Earlier stages stored their database in a file. The fixture starts a real server of stage 2.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain"), pytest.mark.slow]

KEEPER = "unowned-todos"
COLUMNS = "id, title, description, completed, created_at, updated_at"
ROWS = f"SELECT {COLUMNS} FROM todos ORDER BY id"  # noqa: S608 - our own constant
OWNERS = "SELECT DISTINCT users.username FROM todos JOIN users ON users.id = todos.owner_id"


@dataclass(frozen=True)
class Moved:
    """A database that stage 2 filled and the stage under test uses now."""

    server: LaunchedServer
    file: Path
    todos: list[Todo]  # as stage 2 returned them
    deleted_id: int  # the highest of all
    rows_before: list[tuple[Any, ...]]
    rows_after: list[tuple[Any, ...]]

    @property
    def database(self) -> SQLiteFile:
        """Return the database."""
        return SQLiteFile(self.file)


@pytest.fixture(scope="module")
def stage_2(
    launch_for_module: Launch,  # noqa: ARG001 - where there is none, nothing is built for it
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LaunchedServer]:
    """Return a server of stage 2 in its own directory and environment."""
    stage = find_stage(load_course(), "2")
    server = stage_server(stage, tmp_path_factory.mktemp("stage_2"), forked=True)
    yield server
    server.end()


@pytest.fixture(scope="module")
def moved(stage_2: LaunchedServer, launch_for_module: Launch) -> Moved:
    """Fill a database with stage 2, then start the stage under test on it."""
    stage_2.start()
    with Api(stage_2) as api:
        api.create_todo("Купить молоко 🥛", description="2 л", completed=True)
        api.create_todo("Second", description=None)
        api.create_todo("Third")
        todos = api.list_todos()
        deleted_id = api.create_todo("Deleted")["id"]
        api.delete_todo(deleted_id)
    stage_2.stop()
    rows_before = stage_2.database.query(ROWS)
    server = launch_for_module(DATABASE_URL=stage_2.settings["DATABASE_URL"])
    rows_after = stage_2.database.query(ROWS)
    return Moved(server, stage_2.database_file, todos, deleted_id, rows_before, rows_after)


@pytest.fixture
def visitor(moved: Moved) -> Iterator[Api]:
    """Return a driver of the new server that is not signed in."""
    with Api(moved.server) as visitor:
        yield visitor


@pytest.mark.requirement("3.4")
def test_the_migration_keeps_every_todo_unchanged(moved: Moved) -> None:
    assert len(moved.rows_before) == 3
    assert moved.rows_after == moved.rows_before


@pytest.mark.requirement("3.4")
def test_old_todos_belong_to_a_user_without_a_password(moved: Moved) -> None:
    ids = ", ".join(str(todo["id"]) for todo in moved.todos[1:])
    owners = moved.database.query(f"{OWNERS} WHERE todos.id IN ({ids})")
    assert owners == [(KEEPER,)]
    statement = "SELECT password_hash FROM users WHERE username = ?"
    assert moved.database.query(statement, KEEPER) == [(None,)]


@pytest.mark.requirement("3.4")
@pytest.mark.parametrize("password", ["", KEEPER, "None", "null", "password", "\0"])
def test_the_placeholder_owner_cannot_sign_in(visitor: Api, password: str) -> None:
    assert sign_in(visitor, KEEPER, password).status_code in (401, 422)


@pytest.mark.requirement("3.4")
@pytest.mark.parametrize("name", [KEEPER, KEEPER.upper(), KEEPER.title()])
def test_the_name_of_the_placeholder_owner_cannot_be_registered(visitor: Api, name: str) -> None:
    assert register(visitor, name).status_code == 409


@pytest.mark.requirement("3.4")
def test_a_new_user_cannot_reach_the_old_todos(visitor: Api, moved: Moved) -> None:
    api = visitor.as_new_user()
    assert api.list_todos() == []
    for todo in moved.todos[1:]:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {"title": "Mine now"} if method in ("PUT", "PATCH") else NO_BODY
            assert api.request(method, f"/todos/{todo['id']}", json=body).status_code == 404
    assert moved.database.query(ROWS)[: len(moved.todos)] == moved.rows_before


@pytest.mark.requirement("3.4")
def test_new_ids_continue_after_the_old_ones(visitor: Api, moved: Moved) -> None:
    assert visitor.as_new_user().create_todo()["id"] > moved.deleted_id


@pytest.mark.requirement("3.4")
def test_an_old_todo_is_unchanged_after_a_user_becomes_its_owner(
    visitor: Api, moved: Moved
) -> None:
    username = new_username()
    user_id = register(visitor, username).json()["id"]
    todo = moved.todos[0]
    statement = "UPDATE todos SET owner_id = ? WHERE id = ?"
    moved.database.execute(statement, user_id, todo["id"])
    api = visitor.with_token(token_of(visitor, username))
    assert api.list_todos() == [todo]


@pytest.mark.requirement("3.4")
def test_a_downgrade_to_stage_2_and_an_upgrade_keep_every_todo(
    visitor: Api, moved: Moved, stage_2: LaunchedServer, stage_directory: Path
) -> None:
    user = visitor.as_new_user()
    made_later, deleted = user.create_todo("Made later"), user.create_todo()
    user.delete_todo(deleted["id"])
    copy = moved.file.with_name("copy.db")
    copy_database(moved.file, copy)
    rows = SQLiteFile(copy).query(ROWS)
    address = f"sqlite+aiosqlite:///{copy.as_posix()}"
    moved.server.settings["DATABASE_URL"] = stage_2.settings["DATABASE_URL"] = address
    commands = ["check", "downgrade 0001", "upgrade head", "check", "downgrade 0001"]
    done = moved.server.run("python", "-c", COMMANDS, *commands, cwd=stage_directory)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("No new upgrade operations") == 2
    assert SQLiteFile(copy).query(ROWS) == rows
    stage_2.start()
    with Api(stage_2) as api:
        assert api.get_todo(moved.todos[1]["id"]) == moved.todos[1]
        assert api.get_todo(made_later["id"]) == made_later
        assert api.create_todo()["id"] > deleted["id"]


@pytest.mark.requirement("3.4")
def test_a_database_without_todos_gets_no_placeholder_owner(
    launched_server: LaunchedServer,
) -> None:
    statement = "SELECT count(*) FROM users WHERE username = ?"
    assert launched_server.database.query(statement, KEEPER) == [(0,)]
