"""Requirement C.12: the pool replaces connections to an unusable server, and answers are 503.

After a failover a pool holds connections to a read-only server. The driver reports no fault of
these connections, so a pool would keep them for half an hour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from course.harness.database import PostgresDatabase
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.jobs import FAR_AWAY, submit
from tests.stage07.people import expect
from tests.stage08.test_events import jobs_in, stream

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own databases

BACK_WITHIN = 5.0  # seconds
LOOKS_EVERY = 0.5  # seconds

# A trigger raises the error that the title names.
RAISE = """
CREATE FUNCTION raise_error() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.title LIKE 'SQLSTATE _____' THEN
        RAISE EXCEPTION 'as the test wants it' USING ERRCODE = right(NEW.title, 5);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER raise_error BEFORE INSERT ON todos FOR EACH ROW EXECUTE FUNCTION raise_error()
"""
# After these errors a connection is unusable.
USELESS = [
    *("08000", "08003", "08006", "08P01", "25006", "25P03", "25P04"),
    *("57P01", "57P02", "57P03", "57P04", "57P05"),
]
# These errors are temporary.
BUSY = ["40001", "40P01", "53000", "53100", "53200", "53300", "53400", "55P03", "57014", "58030"]
DAMAGED = ["XX000", "XX001"]


@pytest.fixture(scope="module")
def server(launch_for_module: Launch, own_postgres: Postgres) -> LaunchedServer:
    """Return a server with one connection, and a table that raises the requested errors."""
    url = create_database(own_postgres.url)
    settings = {"DATABASE_URL": url, "REDIS_URL": "", "DATABASE_POOL_SIZE": "1"}
    server = launch_for_module(start=True, **settings, DATABASE_MAX_OVERFLOW="0")
    PostgresDatabase(url).execute(RAISE)
    return server


@pytest.fixture
def user(server: LaunchedServer) -> Iterator[Api]:
    """Return a signed-in user; the server must not log a traceback."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor.as_new_user()
    assert "Traceback (most recent call last)" not in server.log_since(mark)


def connection_of(server: LaunchedServer) -> int:
    """Return the process id of PostgreSQL's backend for the app's only connection."""
    rows = PostgresDatabase(server.settings["DATABASE_URL"]).query(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = 'api' AND datname = current_database()"
    )
    ((pid,),) = rows
    return int(pid)


def is_refused_for_now(api: Api, title: str) -> None:
    """Assert that a write gets 503 with `Retry-After`."""
    answer = api.request("POST", "/todos", json={"title": title})
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert "SQLSTATE" not in answer.text


@pytest.mark.requirement("C.12")
@pytest.mark.parametrize("code", USELESS)
def test_an_unusable_connection_is_replaced(server: LaunchedServer, user: Api, code: str) -> None:
    user.create_todo()
    before = connection_of(server)
    is_refused_for_now(user, f"SQLSTATE {code}")
    user.create_todo()
    assert connection_of(server) != before


@pytest.mark.requirement("C.12")
@pytest.mark.parametrize("code", BUSY + DAMAGED)
def test_a_usable_connection_is_kept(server: LaunchedServer, user: Api, code: str) -> None:
    user.create_todo()
    before = connection_of(server)
    is_refused_for_now(user, f"SQLSTATE {code}")
    user.create_todo()
    assert connection_of(server) == before


@pytest.mark.requirement("C.12")
def test_a_read_only_database_is_not_ready_and_writes_get_503(
    user: Api, own_postgres: Postgres
) -> None:
    todo = user.create_todo()
    with only_reading(own_postgres):
        eventually(lambda: reason_not_ready(user) == "read-only")
        for number in range(5):
            is_refused_for_now(user, f"title {number}")
        assert expect(200, user, "GET", "/todos?limit=7") == [todo]
    eventually(lambda: user.request("GET", "/health/ready").status_code == 200, within=BACK_WITHIN)
    user.create_todo()


@pytest.mark.requirement("C.12")
def test_a_promoted_standby_accepts_writes(launch: Launch, own_postgres: Postgres) -> None:
    url = create_database(own_postgres.url)
    with Api(launch(DATABASE_URL=url, REDIS_URL="")) as visitor:
        token = visitor.as_new_user().token
    with own_postgres.standby() as copy:
        copied = urlsplit(copy.url)._replace(path=urlsplit(url).path).geturl()
        with Api(launch(DATABASE_URL=copied, REDIS_URL="")) as visitor:
            user = visitor.with_token(token)
            assert reason_not_ready(user) == "read-only"
            is_refused_for_now(user, "to a copy")
            assert expect(200, user, "GET", "/todos?limit=7") == []
            copy.promote()
            eventually(
                lambda: user.request("GET", "/health/ready").status_code == 200,
                within=BACK_WITHIN,
            )
            user.create_todo()


@pytest.mark.requirement("C.12")
def test_an_event_stream_survives_a_restart_of_the_database(
    launch: Launch, own_postgres: Postgres
) -> None:
    server = launch(DATABASE_URL=create_database(own_postgres.url), REDIS_URL="")
    with Api(server) as visitor:
        user = visitor.as_new_user()
        job_id = submit(user, run_at=FAR_AWAY)["id"]
        with stream(user, job_id) as response:
            told = jobs_in(response)
            assert next(told)["status"] == "scheduled"
            own_postgres.stop()
            try:
                for _ in range(3):  # the server polls for changes meanwhile, without success
                    with stream(user, job_id) as refused:
                        assert refused.status_code == 503
                    time.sleep(LOOKS_EVERY)
            finally:
                own_postgres.start()
            path = f"/jobs/{job_id}"
            eventually(lambda: user.request("DELETE", path).status_code == 200, within=BACK_WITHIN)
            assert [job["status"] for job in told] == ["cancelled"]
    assert "Traceback (most recent call last)" not in server.log_text()


@contextmanager
def only_reading(postgres: Postgres) -> Iterator[None]:
    """Make all sessions of the server read-only, from their next transaction on."""
    set_read_only(postgres, "on")
    try:
        yield
    finally:
        set_read_only(postgres, "off")


def set_read_only(postgres: Postgres, value: str) -> None:
    """Set the default for new sessions, and reload the configuration for open ones."""
    url = postgres.url.replace("+asyncpg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


def reason_not_ready(api: Api) -> str:
    """Return the reason that `/health/ready` gives for the database."""
    answer = api.request("GET", "/health/ready")
    assert answer.status_code == 503
    return str(answer.json()["checks"]["database"]["reason"])
