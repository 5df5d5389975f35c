"""Row 2.5: the tables come from Alembic, whether by command or at the start, and fit the models."""

from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer

pytestmark = [
    pytest.mark.craft,
    pytest.mark.deployment("plain"),
]  # the capstone's suite looks at PostgreSQL

SCHEMA = "SELECT name, sql FROM sqlite_master ORDER BY name"

# Several commands in one process, as `alembic a`, `alembic b`, … would run them one by one.
COMMANDS = """
import sys
from alembic.config import main
for words in sys.argv[1:]:
    main(argv=words.split(), prog="alembic")
"""


@pytest.mark.requirement("2.5")
def test_every_migration_goes_up_down_and_up_again(
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
