"""Requirement 2.5: Alembic creates the tables, and they match the models."""

from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer

pytestmark = [
    pytest.mark.craft,
    pytest.mark.deployment("plain"),
]  # the capstone has its own test for PostgreSQL

SCHEMA = "SELECT name, sql FROM sqlite_master ORDER BY name"

# Runs several commands in one process, like `alembic a`, `alembic b`, … one after another.
COMMANDS = """
import sys
from alembic.config import main
for words in sys.argv[1:]:
    main(argv=words.split(), prog="alembic")
"""


@pytest.mark.requirement("2.5")
def test_every_migration_upgrades_downgrades_and_upgrades_again(
    launch: Launch, launched_server: LaunchedServer, stage_directory: Path
) -> None:
    server = launch(start=False)
    commands = ["upgrade head", "downgrade base", "upgrade head", "check", "current"]
    done = server.run("python", "-c", COMMANDS, *commands, cwd=stage_directory)
    assert done.returncode == 0, done.stdout
    assert "No new upgrade operations" in done.stdout  # the models and the migrations agree
    assert "(head)" in done.stdout
    made_at_start = launched_server.database.query(SCHEMA)
    assert server.database.query(SCHEMA) == made_at_start
