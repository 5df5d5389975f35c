"""A sample server for tests of the harness."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from course.harness.server import LaunchedServer

SAMPLE_SERVER = Path(__file__).with_name("sample_server.py")


class Sample(Protocol):
    """Makes sample servers."""

    def __call__(self, *behaviours: str, **settings: str) -> LaunchedServer:
        """Return a sample server with this behaviour and these settings, before its start."""


@pytest.fixture
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """A maker of sample servers, which end with the test."""
    servers: list[LaunchedServer] = []

    def make(*behaviours: str, **settings: str) -> LaunchedServer:
        command = [sys.executable, str(SAMPLE_SERVER), "{port}", *behaviours]
        directory = tmp_path_factory.mktemp("sample")
        server = LaunchedServer(command, directory, settings, has_users="users" in behaviours)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()
