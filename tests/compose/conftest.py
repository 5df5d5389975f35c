"""The system in containers, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from tests.compose.stack import NO_DOCKER, Stack, docker_is_available


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Build and start the system from the repository's files; its data is deleted at the end."""
    if not docker_is_available():
        pytest.skip(NO_DOCKER)
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.down("--volumes")  # removes the rest of a test run that was killed
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.down("--volumes")


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """Return the system with all containers running, also after a test that stopped one."""
    if not running_stack.is_up():
        running_stack.up()
    return running_stack


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """Return the driver of a new user, through the gateway."""
    with Api(stack) as visitor:
        yield visitor.as_new_user()
