"""Requirement C.8: requests share connections, and never open more than the settings allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from course.harness.database import PostgresDatabase
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import create_database
from course.harness.queue import NO_REDIS, Redis, redis_is_available
from course.harness.waiting import eventually, in_parallel
from tests.capstone.watching import highest

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own database

SIZE, OVERFLOW = 3, 2
CROWD = 50
POOL = {
    "REDIS_URL": "",
    "DATABASE_POOL_SIZE": str(SIZE),
    "DATABASE_MAX_OVERFLOW": str(OVERFLOW),
    "DATABASE_STATEMENT_TIMEOUT": "30",
}
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'api'"
)


@pytest.fixture
def database(postgres_url: str) -> PostgresDatabase:
    """Return a database that only this test uses."""
    return PostgresDatabase(create_database(postgres_url))


@contextmanager
def todos_locked(database: PostgresDatabase) -> Iterator[None]:
    """Block every statement that writes a todo until the `with` block ends."""
    with psycopg.connect(database.url.replace("+asyncpg", "")) as connection:
        connection.execute("LOCK TABLE todos IN EXCLUSIVE MODE")
        yield


def waiting_for_the_lock(database: PostgresDatabase) -> int:
    """Return how many statements wait for a lock."""
    statement = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    ((count,),) = database.query(statement)
    return int(count)


@pytest.mark.requirement("C.8")
def test_many_slow_requests_share_the_connections(
    launch: Launch, database: PostgresDatabase
) -> None:
    server = launch(start=True, **POOL, DATABASE_URL=database.url, DATABASE_POOL_TIMEOUT="60")
    with Api(server) as visitor, highest(lambda: int(database.query(CONNECTIONS)[0][0])) as most:
        api = visitor.as_new_user()

        def unlock_when_all_connections_wait() -> None:
            with todos_locked(database):
                locked.set()
                eventually(lambda: waiting_for_the_lock(database) == SIZE + OVERFLOW, within=20)
                waiting.append(int(database.query(CONNECTIONS)[0][0]))

        waiting: list[int] = []
        locked = threading.Event()
        locker = threading.Thread(target=unlock_when_all_connections_wait)
        locker.start()
        locked.wait()
        answers = in_parallel(CROWD, lambda _: api.request("POST", "/todos", json={"title": "x"}))
        locker.join()
        assert not answers.errors
        assert {answer.status_code for answer in answers.results} == {201}
    assert waiting == [SIZE + OVERFLOW]
    assert most[0] <= SIZE + OVERFLOW


@pytest.mark.requirement("C.8")
def test_a_request_without_a_free_connection_gets_503_with_retry_after(
    launch: Launch, database: PostgresDatabase
) -> None:
    server = launch(start=True, **POOL, DATABASE_URL=database.url, DATABASE_POOL_TIMEOUT="0.5")
    with Api(server) as visitor:
        api = visitor.as_new_user()
        api.create_todo()

        def ask(_: int) -> tuple[int, bool, float]:
            began = time.monotonic()
            answer = api.request("POST", "/todos", json={"title": "x"})
            return answer.status_code, "Retry-After" in answer.headers, time.monotonic() - began

        with todos_locked(database):
            waiting = threading.Thread(target=lambda: in_parallel(SIZE + OVERFLOW, ask))
            waiting.start()
            eventually(lambda: waiting_for_the_lock(database) == SIZE + OVERFLOW, within=20)
            refused = in_parallel(CROWD, ask)
        waiting.join()
        assert not refused.errors
        assert {answer[:2] for answer in refused.results} == {(503, True)}
        assert max(seconds for _, _, seconds in refused.results) < 10
        api.create_todo()
    assert "Traceback" not in server.log_text()


@pytest.mark.requirement("C.8")
def test_a_statement_that_takes_too_long_is_cancelled(
    launch: Launch, database: PostgresDatabase
) -> None:
    settings = POOL | {"DATABASE_STATEMENT_TIMEOUT": "1"}
    server = launch(start=True, **settings, DATABASE_URL=database.url)
    with Api(server) as visitor:
        api = visitor.as_new_user()
        api.create_todo()
        with todos_locked(database):
            answer = api.request("POST", "/todos", json={"title": "x"})
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        assert waiting_for_the_lock(database) == 0
        api.create_todo()


@pytest.mark.requirement("C.8")
def test_many_requests_share_the_connections_to_redis(launch: Launch, tmp_path: Path) -> None:
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path / "redis")
    redis.start()

    def connections() -> int:
        clients = redis.command("CLIENT", "LIST")
        assert isinstance(clients, bytes)
        return len(clients.splitlines()) - 1  # without the connection of this test

    try:
        server = launch(REDIS_URL=redis.url, REDIS_POOL_SIZE=str(SIZE))
        with Api(server) as visitor:
            api = visitor.as_new_user()
            todos = [api.create_todo()["id"] for _ in range(CROWD)]
            idle = connections()
            with highest(connections) as most:
                for _ in range(3):
                    read = in_parallel(CROWD, lambda number: api.get_todo(todos[number]))
                    assert not read.errors
                    written = in_parallel(
                        CROWD, lambda number: api.patch_todo(todos[number], completed=True)
                    )
                    assert not written.errors
        assert 0 < most[0] <= idle + SIZE, (idle, most)
    finally:
        redis.process.end()
