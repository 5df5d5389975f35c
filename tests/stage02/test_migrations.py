"""Requirement 2.5: Alembic creates the tables, and they match the models."""

import re
import shutil
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


@pytest.mark.requirement("2.5")
@pytest.mark.slow
def test_alembic_reports_two_heads_in_one_line(
    launch: Launch, stage_directory: Path, tmp_path: Path
) -> None:
    """Two branches were merged and each has a last migration."""
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
def test_alembic_reports_an_unusable_database_in_one_line(
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
def test_alembic_prints_offline_sql_or_refuses_in_one_line(
    launch: Launch, stage_directory: Path, stage: int
) -> None:
    """SQLite recreates a table to change it, so Alembic needs a connection."""
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
