"""Fixtures of the capstone's tests: a PostgreSQL that a test may stop, query and inspect."""

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.postgres import NO_POSTGRES, Postgres, postgres_is_available
from course.harness.server import Server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL that only this module uses."""
    if not postgres_is_available():
        pytest.skip(NO_POSTGRES)
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.end()


@pytest.fixture
def visitor(server: Server) -> Iterator[Api]:
    """Return a driver of the shared server that is not signed in."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor
    assert "Traceback (most recent call last)" not in server.log_since(mark), (
        "the server logged a traceback while this test ran"
    )
