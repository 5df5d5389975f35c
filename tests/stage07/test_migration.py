"""Requirements 7.3 and 7.6: users from before the roles have the role `user`, and no data is lost.

The operator may name an existing user as the first administrator. The app promotes that user only
if the password in the settings is right.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course.catalog.stages import find_stage, load_course
from course.harness.database import SQLiteFile
from course.harness.driver import Api, Todo
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer, stage_server
from tests.stage02.test_migrations import COMMANDS
from tests.stage03.accounts import PASSWORD, new_account, sign_in, token_of
from tests.stage03.database import copy_database
from tests.stage07.people import expect, give_role, person

# Earlier stages stored their database in a file.
pytestmark = [pytest.mark.craft, pytest.mark.own_stage, pytest.mark.deployment("plain")]

NAME = "FIRST_ADMIN_USERNAME"
WRONG_PASSWORD = "another password 7"
PREDECESSOR = "0004"  # the revision of stage 6
ROLES = "SELECT username, role FROM users ORDER BY id"
TABLES = {
    "users": "SELECT id, username, username_folded, password_hash, created_at FROM users",
    "todos": "SELECT * FROM todos",
    "sequence": "SELECT name, seq FROM sqlite_sequence WHERE name IN ('todos', 'jobs')",
}


@dataclass(frozen=True)
class Moved:
    """A database that stage 6 filled and the stage under test uses now."""

    server: LaunchedServer
    database_file: Path
    usernames: list[str]
    token: str  # issued by stage 6 for the first user
    todos: list[Todo]
    before: dict[str, list[tuple[Any, ...]]]
    after: dict[str, list[tuple[Any, ...]]]
    roles: list[tuple[Any, ...]]  # while the settings had a wrong password
    log: str  # of the server with the wrong password


def contents(database_file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows that stage 6 created."""
    database = SQLiteFile(database_file)
    return {name: database.query(f"{select} ORDER BY 1") for name, select in TABLES.items()}


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, launch_for_module: Launch) -> Moved:
    """Fill a database with stage 6, then start the stage under test on it."""
    stage = find_stage(load_course(), "6")
    old = stage_server(stage, tmp_path_factory.mktemp("stage_6"), forked=True)
    try:
        old.start()
        with Api(old) as visitor:
            usernames = [new_account(visitor) for _ in range(3)]
            token = token_of(visitor, usernames[0])
            api = visitor.with_token(token)
            todos = [api.create_todo("Купить молоко 🥛", completed=True), api.create_todo()]
            api.delete_todo(api.create_todo()["id"])
        old.stop()
    finally:
        old.end()
    file = old.database_file
    before = contents(file)
    server = launch_for_module(start=False)
    server.settings |= {
        "DATABASE_URL": old.settings["DATABASE_URL"],
        "JWT_SECRET": old.settings["JWT_SECRET"],
        NAME: usernames[2].upper(),
        "FIRST_ADMIN_PASSWORD": WRONG_PASSWORD,
    }
    server.start()
    after, roles = contents(file), SQLiteFile(file).query(ROLES)
    log = server.log_text()
    server.settings["FIRST_ADMIN_PASSWORD"] = PASSWORD
    server.restart()
    return Moved(server, file, usernames, token, todos, before, after, roles, log)


@pytest.fixture
def visitor(moved: Moved) -> Iterator[Api]:
    """Return a driver of the new server that is not signed in."""
    with Api(moved.server) as visitor:
        yield visitor


@pytest.mark.requirement("7.6")
def test_the_migration_keeps_every_row_unchanged(moved: Moved) -> None:
    assert len(moved.before["users"]) == 3
    assert moved.after == moved.before


@pytest.mark.requirement("7.3")
def test_existing_accounts_get_the_role_user(moved: Moved) -> None:
    assert moved.roles == [(username, "user") for username in moved.usernames]


@pytest.mark.requirement("7.3")
def test_an_existing_user_is_not_promoted_with_a_wrong_password(moved: Moved, visitor: Api) -> None:
    lines = [line for line in moved.log.splitlines() if moved.usernames[2].upper() in line]
    assert len(lines) == 1, moved.log
    assert lines[0].startswith(("ERROR", "WARNING"))
    assert sign_in(visitor, moved.usernames[2], WRONG_PASSWORD).status_code == 401


@pytest.mark.requirement("7.3")
def test_an_existing_user_is_promoted_with_the_right_password(moved: Moved, visitor: Api) -> None:
    administrator = person(visitor, moved.usernames[2], PASSWORD)
    found = expect(200, administrator.api, "GET", "/users")
    assert [somebody["username"] for somebody in found] == moved.usernames
    assert found[2]["role"] == "admin"
    for secret in (PASSWORD, WRONG_PASSWORD, *(row[3] for row in moved.before["users"])):
        assert secret not in moved.server.log_text()


@pytest.mark.requirement("7.4")
def test_a_token_from_stage_6_is_still_valid(moved: Moved, visitor: Api) -> None:
    api = visitor.with_token(moved.token)
    me = api.request("GET", "/users/me").json()
    assert (me["username"], me["role"]) == (moved.usernames[0], "user")
    assert api.list_todos() == moved.todos


@pytest.mark.requirement("7.3")
def test_an_existing_user_can_become_an_author(moved: Moved, visitor: Api) -> None:
    somebody = person(visitor, moved.usernames[1], PASSWORD)
    admin = person(visitor, moved.usernames[2], PASSWORD)
    give_role(admin, somebody, "author")
    assert somebody.write_post()["author"]["username"] == moved.usernames[1]
    give_role(admin, somebody, "user")


@pytest.mark.requirement("7.6")
def test_a_downgrade_and_an_upgrade_keep_the_data_of_stage_6(
    moved: Moved, stage_directory: Path
) -> None:
    copy = moved.database_file.with_name("copy.db")
    copy_database(moved.database_file, copy)
    settings = dict(moved.server.settings)
    moved.server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{copy.as_posix()}"
    commands = ["check", f"downgrade {PREDECESSOR}", "upgrade head", "check"]
    try:
        done = moved.server.run("python", "-c", COMMANDS, *commands, cwd=stage_directory)
    finally:
        moved.server.settings = settings
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("No new upgrade operations") == 2
    assert contents(copy) == moved.before
    assert SQLiteFile(copy).query("SELECT DISTINCT role FROM users") == [("user",)]
    assert SQLiteFile(copy).query("SELECT count(*) FROM posts") == [(0,)]
    assert SQLiteFile(copy).query("PRAGMA foreign_key_check") == []
