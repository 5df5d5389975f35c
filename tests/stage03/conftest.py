"""A driver of the shared server that has no token."""

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.server import Server


@pytest.fixture
def visitor(server: Server) -> Iterator[Api]:
    """Return a driver of the shared server that is not signed in."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor
    assert "Traceback (most recent call last)" not in server.log_since(mark), (
        "the server logged a traceback while this test ran"
    )
