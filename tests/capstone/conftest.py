"""What the capstone's tests share: a PostgreSQL that a test may stop, ask and look into."""

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.postgres import NO_POSTGRES, Postgres, postgres_is_available
from course.harness.server import Server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the module's own."""
    if not postgres_is_available():
        pytest.skip(NO_POSTGRES)
    postgres = Postgres()
    postgres.start()
    yield postgres
    postgres.end()


@pytest.fixture
def visitor(server: Server) -> Iterator[Api]:
    """A driver of the shared server that is signed in as nobody."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor
    assert "Traceback (most recent call last)" not in server.log_since(mark), (
        "the server logged a traceback while this test ran"
    )
