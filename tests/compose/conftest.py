"""The system in containers, brought up once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from tests.compose.stack import NO_DOCKER, Stack, docker_is_available


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system, built from the files as they are; its data goes with it."""
    if not docker_is_available():
        pytest.skip(NO_DOCKER)
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.down("--volumes")  # what a test run left that was killed
    try:
        stack.up("--build")
        yield stack
    finally:
        stack.down("--volumes")


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    """The system, with all of it up, whatever the test before has done."""
    if not running_stack.is_up():
        running_stack.up()
    return running_stack


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """A new user, behind the gateway."""
    with Api(stack) as visitor:
        yield visitor.as_new_user()
