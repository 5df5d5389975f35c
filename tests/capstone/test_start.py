"""Requirement C.1: the server and the Alembic command refuse an unusable database in one line."""

import re
import shutil
from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in
from tests.stage02.unusable import REASONS, Spoil, not_migrated_in_production

# Both forms refuse a database in the same way.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

EXPLAINED = REASONS | {not_migrated_in_production: "alembic upgrade head"}


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> dict[Spoil, LaunchedServer]:
    """Return all servers with an unusable database after their attempts to start."""
    servers = {spoil: launch_for_module(start=False) for spoil in EXPLAINED}
    for spoil, server in servers.items():
        spoil(server)
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("spoil", EXPLAINED, ids=lambda spoil: spoil.__name__)
def test_a_server_with_an_unusable_database_exits_with_one_line(
    refused: dict[Spoil, LaunchedServer], spoil: Spoil, stage: int
) -> None:
    server = refused[spoil]
    assert server.exit_code not in (0, None)
    assert EXPLAINED[spoil] in reason_in(server.log_text(), stage)


@pytest.mark.requirement("C.1")
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


@pytest.mark.requirement("C.1")
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


@pytest.mark.requirement("C.1")
def test_alembic_prints_offline_sql_or_refuses_in_one_line(
    launch: Launch, stage_directory: Path
) -> None:
    """SQLite recreates a table to change it, so Alembic needs a connection."""
    server = launch(start=False)
    done = server.run("alembic", "upgrade", "head", "--sql", cwd=stage_directory)
    assert "Traceback" not in done.stdout
    assert "CREATE TABLE todos" in done.stdout
    assert done.returncode == 0 or "FAILED" in done.stdout
    server.settings["DATABASE_URL"] = "postgresql+asyncpg://user:password@127.0.0.1/todos"
    done = server.run("alembic", "upgrade", "head", "--sql", cwd=stage_directory)
    assert done.returncode == 0
    assert "CREATE INDEX ix_comments_author_id" in done.stdout
    assert "COMMIT" in done.stdout
