"""The directory of pictures, and a watch over what is left in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.server import LaunchedServer, Server
from tests.stage04.storage import files_in, media_of


@pytest.fixture
def media(launched_server: LaunchedServer) -> Path:
    """Where the shared server keeps its pictures."""
    return media_of(launched_server)


@pytest.fixture
def nothing_is_left(server: Server) -> Iterator[None]:
    """Fail when the test leaves a file behind, where the server's files are ours to see."""
    if not isinstance(server, LaunchedServer):
        yield
        return
    before = files_in(media_of(server))
    yield
    assert files_in(media_of(server)) == before
