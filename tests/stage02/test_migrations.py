"""Row 2.5: the tables come from Alembic, whether by command or at the start, and fit the models."""

import re
import shutil
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


@pytest.mark.requirement("2.5")
@pytest.mark.slow
def test_two_migrations_that_follow_the_same_one_are_told_in_one_line(
    launch: Launch, stage_directory: Path, tmp_path: Path
) -> None:
    """Two branches of a team, merged: nobody can say which migration is the last."""
    copy = tmp_path / "stage"
    ignored = shutil.ignore_patterns("__pycache__", ".env", "*.db*")
    shutil.copytree(stage_directory, copy, ignore=ignored)
    last = max((copy / "migrations" / "versions").glob("0*.py"))
    text = last.read_text(encoding="utf-8")
    rival = re.sub(r'^revision: str = "\d+"', 'revision: str = "9999"', text, flags=re.MULTILINE)
    assert rival != text
    last.with_name("9999_rival.py").write_text(rival, encoding="utf-8")
    server = launch(start=False)
    for command in (
        ("alembic", "upgrade", "head"),
        ("python", "-m", "uvicorn", "app.main:app", "--port", "0"),
    ):
        done = server.run(*command, cwd=copy)
        assert done.returncode != 0
        assert "multiple head" in done.stdout.lower()
        assert "Traceback" not in done.stdout


@pytest.mark.requirement("2.5")
@pytest.mark.own_stage
def test_a_database_that_cannot_be_used_is_told_in_one_line_by_the_command(
    launch: Launch, stage_directory: Path
) -> None:
    server = launch(start=False)
    missing = server.data_dir / "no" / "such" / "directory" / "todo.db"
    server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{missing.as_posix()}"
    done = server.run("alembic", "upgrade", "head", cwd=stage_directory)
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.requirement("2.5")
@pytest.mark.own_stage
def test_the_sql_of_the_migrations_is_printed_or_refused_in_one_line(
    launch: Launch, stage_directory: Path, stage: int
) -> None:
    """SQLite makes a table anew to change it, and has to see it for that."""
    server = launch(start=False)
    done = server.run("alembic", "upgrade", "head", "--sql", cwd=stage_directory)
    assert "Traceback" not in done.stdout
    assert "CREATE TABLE todos" in done.stdout
    assert done.returncode == 0 or "FAILED" in done.stdout
    if stage >= 9:
        server.settings["DATABASE_URL"] = "postgresql+asyncpg://user:password@127.0.0.1/todos"
        done = server.run("alembic", "upgrade", "head", "--sql", cwd=stage_directory)
        assert done.returncode == 0
        assert "CREATE INDEX ix_comments_author_id" in done.stdout
        assert "COMMIT" in done.stdout
