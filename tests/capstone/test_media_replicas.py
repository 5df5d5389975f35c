"""Several processes share one directory of pictures while one of them cleans it up at its start."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from course.harness.database import PostgresDatabase
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import create_database
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage04.storage import files_in, media_of
from tests.stage04.uploads import new_image

# the test always uses PostgreSQL, so one deployment is enough
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

LONG_AGO = 24 * 60 * 60  # seconds; much longer than the age that the clean-up requires
WAIT_AT_COMMIT = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER DELETE ON images DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION wait();
"""


@contextmanager
def slow_deletions(database: PostgresDatabase) -> Iterator[None]:
    """Delay the commit of every deletion of a picture until the `with` block ends."""
    with psycopg.connect(database.url.replace("+asyncpg", ""), autocommit=True) as connection:
        connection.execute(WAIT_AT_COMMIT)
        connection.execute("SELECT pg_advisory_lock(1)")
        yield


@pytest.mark.requirement("C.1")
def test_a_starting_server_does_not_restore_a_picture_during_its_deletion(
    launch: Launch, postgres_url: str
) -> None:
    database = PostgresDatabase(create_database(postgres_url))

    def serve(**settings: str) -> LaunchedServer:
        patient = {"REDIS_URL": "", "DATABASE_STATEMENT_TIMEOUT": "120"}
        return launch(start=True, DATABASE_URL=database.url, **patient, **settings)

    first = serve()
    media = media_of(first)
    with Api(first) as visitor:
        api = visitor.as_new_user()
        path = f"/images/{new_image(api)['id']}"
        (stored,) = files_in(media)
        then = time.time() - LONG_AGO
        os.utime(media / stored, (then, then))
        answers: list[httpx.Response] = []
        delete = threading.Thread(target=lambda: answers.append(api.request("DELETE", path)))
        with slow_deletions(database):
            delete.start()
            eventually(lambda: stored not in files_in(media), within=20)
            serve(MEDIA_DIR=str(media))  # the clean-up runs before it serves
        delete.join()
        assert [answer.status_code for answer in answers] == [204]
    assert files_in(media) == {}
