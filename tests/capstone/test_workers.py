"""Requirements C.6 and C.8: many workers share one PostgreSQL, and each job ends exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.database import Database, PostgresDatabase
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import create_database
from course.harness.queue import (
    BEAT,
    NO_REDIS,
    WORKER,
    Process,
    Redis,
    celery_process,
    redis_is_available,
)
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.capstone.watching import highest
from tests.stage05.jobs import LONG, submit, submit_file

# the tests start their own database and Redis
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

CLIENTS, JOBS_EACH = 10, 10
LONGEST = 180.0  # seconds; includes the lease of a killed worker on a busy machine
WORKERS, CHILDREN, CONNECTIONS_EACH = 2, 2, 2
LEASE = "3"  # seconds, for the test that kills a worker

# A trigger in the database records every end of a job.
NOTE_ENDS = """
CREATE TABLE ends_of_jobs (job_id uuid, status text);
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ends_of_jobs VALUES (NEW.id, NEW.status);
    RETURN NULL;
END $$;
CREATE TRIGGER note_end AFTER UPDATE OF status ON jobs FOR EACH ROW
    WHEN (OLD.status <> NEW.status AND NEW.status IN ('succeeded', 'failed', 'cancelled'))
    EXECUTE FUNCTION note_end();
"""


@pytest.fixture
def database(postgres_url: str) -> PostgresDatabase:
    """Return a database that only this test uses."""
    return PostgresDatabase(create_database(postgres_url))


def submit_many(users: list[Api]) -> set[str]:
    """Submit a hundred jobs at once, through all servers."""

    def ask(client: int) -> list[str]:
        api = users[client % len(users)]
        return [submit(api, f"Job {client} {number}.")["id"] for number in range(JOBS_EACH)]

    asked = in_parallel(CLIENTS, ask)
    assert not asked.errors
    return {job_id for job_ids in asked.results for job_id in job_ids}


def assert_each_ended_once(database: Database, job_ids: set[str]) -> None:
    """Wait until all jobs have ended, and assert that each succeeded once."""
    waiting = "SELECT count(*) FROM jobs WHERE status IN ('scheduled', 'queued', 'running')"
    eventually(lambda: database.query(waiting) == [(0,)], within=LONGEST)
    ends = database.query("SELECT CAST(job_id AS text), status FROM ends_of_jobs")
    assert sorted(ends) == sorted((job_id, "succeeded") for job_id in job_ids)


@pytest.mark.requirement("C.6")
def test_the_workers_of_two_servers_run_each_job_once(
    launch: Launch, database: PostgresDatabase
) -> None:
    servers = [launch(DATABASE_URL=database.url, REDIS_URL="") for _ in range(2)]
    database.execute(NOTE_ENDS)
    with Api(servers[0]) as visitor:
        users = [visitor.as_new_user()]
        users.append(Api(servers[1], token=users[0].token))
        assert_each_ended_once(database, submit_many(users))
    assert database.query("SELECT DISTINCT attempts FROM jobs") == [(1,)]
    for server in servers:
        assert "Traceback" not in server.log_text()
        assert "deadlock" not in server.log_text()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Return a Redis that only this test uses."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture
def server(launch: Launch, database: PostgresDatabase, redis: Redis) -> LaunchedServer:
    """Return a server whose jobs Celery runs."""
    return launch(DATABASE_URL=database.url, REDIS_URL=redis.url, JOB_LEASE=LEASE)


@pytest.fixture
def workers(server: LaunchedServer, tmp_path: Path) -> Iterator[list[Process]]:
    """Return the workers of the server; beat runs, too."""
    workers = [
        celery_process(server, tmp_path / f"{number}.log", *WORKER, "-n", f"{number}@%h")
        for number in range(WORKERS)
    ]
    beat = celery_process(server, tmp_path / "beat.log", *BEAT)
    for process in (*workers, beat):
        process.start()
    yield workers
    for process in (*workers, beat):
        process.end()


@pytest.mark.requirement("C.6", "C.8")
def test_jobs_survive_a_killed_worker_and_each_ends_once(
    server: LaunchedServer, workers: list[Process], database: PostgresDatabase
) -> None:
    database.execute(NOTE_ENDS)
    connections = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'worker'"
    )
    with Api(server) as visitor, highest(lambda: int(database.query(connections)[0][0])) as most:
        api = visitor.as_new_user()
        large = {submit_file(api, LONG)["id"] for _ in range(WORKERS * CHILDREN)}
        running = "SELECT CAST(id AS text) FROM jobs WHERE status = 'running'"
        # All child processes are busy, so the worker that is killed runs jobs.
        eventually(lambda: len(database.query(running)) == WORKERS * CHILDREN, within=60)
        workers[0].kill()
        job_ids = large | submit_many([api])
        assert_each_ended_once(database, job_ids)
    again = database.query("SELECT CAST(id AS text) FROM jobs WHERE attempts > 1")
    assert 1 <= len(again) <= CHILDREN
    assert 0 < most[0] <= WORKERS * CHILDREN * CONNECTIONS_EACH
