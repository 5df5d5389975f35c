"""Requirement C.1 on PostgreSQL: migrations go both ways, run once, and wait for the database."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import NO_POSTGRES, Postgres, create_database, postgres_is_available
from course.harness.server import LaunchedServer, ServerDidNotStart
from course.harness.waiting import eventually, in_parallel
from tests.stage02.test_migrations import COMMANDS

# the tests always use PostgreSQL, so one deployment is enough
pytestmark = [pytest.mark.craft, pytest.mark.deployment("full")]

AT_ONCE = 4
PATIENT = 180.0  # seconds; several programs start at once, perhaps on a busy machine
WAITING = "The database does not answer"
WRONG_PASSWORD = "not-the-password-4b1d"


@pytest.fixture
def empty(launch: Launch, postgres_url: str) -> LaunchedServer:
    """Return a server that was not started, with an empty database on PostgreSQL."""
    return launch(start=False, DATABASE_URL=create_database(postgres_url))


@pytest.fixture
def stopped_postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL that was not started yet."""
    if not postgres_is_available():
        pytest.skip(NO_POSTGRES)
    postgres = Postgres()
    yield postgres
    postgres.end()


def reasons(server: LaunchedServer) -> list[str]:
    """Return the log lines that say why a server did not start."""
    lines = server.log_text().splitlines()
    return [line for line in lines if line.startswith("ERROR") and "Exiting" not in line]


@pytest.mark.requirement("C.1")
def test_every_migration_upgrades_downgrades_and_upgrades_again(
    empty: LaunchedServer, stage_directory: Path
) -> None:
    commands = ["upgrade head", "check", "downgrade base", "upgrade head", "check", "current"]
    done = empty.run("python", "-c", COMMANDS, *commands, cwd=stage_directory, within=PATIENT)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("No new upgrade operations") == 2
    assert "(head)" in done.stdout


@pytest.mark.requirement("C.1")
def test_concurrent_migrations_run_once(empty: LaunchedServer, stage_directory: Path) -> None:
    command = ("alembic", "upgrade", "head")
    done = in_parallel(
        AT_ONCE, lambda _: empty.run(*command, cwd=stage_directory, within=PATIENT)
    ).results
    assert [each.returncode for each in done] == [0] * AT_ONCE, done
    assert [each.stdout.count(" -> 0001") for each in done].count(1) == 1
    assert "".join(each.stdout for each in done).count(" -> 0001") == 1
    empty.start()
    with Api(empty) as visitor:
        assert visitor.as_new_user().create_todo()["id"] == 1


@pytest.mark.requirement("C.12")
def test_the_migration_waits_until_the_database_is_up(
    launch: Launch, stopped_postgres: Postgres
) -> None:
    server = launch(start=False, DATABASE_URL=stopped_postgres.url)
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        eventually(lambda: server.log_text().count(WAITING) >= 2, within=20)
    finally:
        stopped_postgres.start()
        starting.join()
    with Api(server) as visitor:
        assert visitor.as_new_user().create_todo("after all")["title"] == "after all"
    assert "Traceback" not in server.log_text()
    assert stopped_postgres.password not in server.log_text()


@pytest.mark.requirement("C.12")
def test_a_wrong_password_is_reported_without_waiting(
    launch: Launch, stopped_postgres: Postgres
) -> None:
    stopped_postgres.start()
    url = stopped_postgres.url.replace(stopped_postgres.password, WRONG_PASSWORD)
    server = launch(start=False, DATABASE_URL=url)
    with pytest.raises(ServerDidNotStart) as refused:
        server.start()
    assert refused.value.exit_code not in (0, None)
    assert WAITING not in server.log_text()
    (reason,) = reasons(server)
    assert "password" in reason
    assert WRONG_PASSWORD not in server.log_text()
    assert "Traceback" not in server.log_text()
