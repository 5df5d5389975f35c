"""Requirements 4.3 and 2.5: the migration adds and removes images; users and todos stay."""

from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from tests.stage02.test_migrations import COMMANDS
from tests.stage03.database import copy_database
from tests.stage04.uploads import new_image

# Earlier stages stored their database in a file.
pytestmark = [pytest.mark.craft, pytest.mark.own_stage, pytest.mark.deployment("plain")]

PEOPLE = "SELECT id, username, username_folded, password_hash, created_at FROM users ORDER BY id"
TODOS = "SELECT id, owner_id, title, description, completed, updated_at FROM todos ORDER BY id"
IMAGES = "SELECT count(*) FROM images"
INDEXES = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'images'"


@pytest.mark.requirement("4.3")
def test_the_images_migration_leaves_users_and_todos_unchanged(
    api: Api, launched_server: LaunchedServer, launch: Launch, stage_directory: Path
) -> None:
    api.create_todo("Stays", description="2 л")
    new_image(api)
    server = launch(start=False)
    copy_database(launched_server.database_file, server.database_file)
    before = [server.database.query(statement) for statement in (PEOPLE, TODOS, INDEXES)]
    commands = ["check", "downgrade 0002", "upgrade head", "check"]
    done = server.run("python", "-c", COMMANDS, *commands, cwd=stage_directory)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("No new upgrade operations") == 2
    after = [server.database.query(statement) for statement in (PEOPLE, TODOS, INDEXES)]
    assert after == before
    assert server.database.query(IMAGES) == [(0,)]
