"""Row C.1: a database that does not fit is refused in one line, at the start and by the command."""

import re
import shutil
from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in
from tests.stage02.unusable import REASONS, Spoil, not_migrated_in_production

# Both forms explain their databases in the same way.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

EXPLAINED = REASONS | {not_migrated_in_production: "alembic upgrade head"}


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> dict[Spoil, LaunchedServer]:
    """Every server with a database that does not fit, after its attempt to start: all at once."""
    servers = {spoil: launch_for_module(start=False) for spoil in EXPLAINED}
    for spoil, server in servers.items():
        spoil(server)
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("spoil", EXPLAINED, ids=lambda spoil: spoil.__name__)
def test_it_does_not_start_and_one_line_says_why(
    refused: dict[Spoil, LaunchedServer], spoil: Spoil, stage: int
) -> None:
    server = refused[spoil]
    assert server.exit_code not in (0, None)
    assert EXPLAINED[spoil] in reason_in(server.log_text(), stage)


@pytest.mark.requirement("C.1")
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


@pytest.mark.requirement("C.1")
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


@pytest.mark.requirement("C.1")
def test_the_sql_of_the_migrations_is_printed_or_refused_in_one_line(
    launch: Launch, stage_directory: Path
) -> None:
    """SQLite makes a table anew to change it, and has to see it for that."""
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
