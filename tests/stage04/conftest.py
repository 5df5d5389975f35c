"""The directory of pictures, and a check that no test leaves a file in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.server import LaunchedServer, Server
from tests.stage04.storage import files_in, media_of


@pytest.fixture
def media(launched_server: LaunchedServer) -> Path:
    """Return the directory in which the shared server stores its pictures."""
    return media_of(launched_server)


@pytest.fixture
def nothing_is_left(server: Server) -> Iterator[None]:
    """Fail if the test leaves a file behind, when the tests can read the server's directory."""
    if not isinstance(server, LaunchedServer):
        yield
        return
    before = files_in(media_of(server))
    yield
    assert files_in(media_of(server)) == before
