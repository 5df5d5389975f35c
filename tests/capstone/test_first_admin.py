"""Requirement C.1: replicas that start together make one first administrator, without an error."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from course.harness.database import PostgresDatabase
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.server import FIRST_ADMIN
from course.harness.waiting import eventually

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # it starts its own database

REPLICAS = 2
LATEST = 60.0  # seconds; enough on a busy machine
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.requirement("C.1")
def test_replicas_make_one_first_administrator_without_an_error_in_postgresql(
    launch: Launch, own_postgres: Postgres
) -> None:
    database = PostgresDatabase(create_database(own_postgres.url))
    settings = {"DATABASE_URL": database.url, "REDIS_URL": ""}
    servers = [launch(start=False, **settings) for _ in range(REPLICAS)]
    servers[0].settings |= dict.fromkeys(FIRST_ADMIN, "")
    servers[0].start()  # it makes the tables
    servers[0].stop()
    for server in servers:
        server.settings |= FIRST_ADMIN
    with ThreadPoolExecutor() as threads:
        with database.write_lock():  # reads go on, so each replica finds no administrator
            starts = [threads.submit(server.start) for server in servers]
            assert eventually(lambda: database.query(WAITING) == [(REPLICAS,)], within=LATEST)
        for start in starts:
            start.result()
    admins = database.query("SELECT username FROM users WHERE role = 'admin'")
    assert admins == [(FIRST_ADMIN["FIRST_ADMIN_USERNAME"],)]
    assert "duplicate key" not in own_postgres.process.log_text()
