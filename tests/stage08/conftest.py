"""People who chat on the shared server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from course.harness.driver import Api
from tests.stage08.chat import Person, person

Join = Callable[[], Person]


@pytest.fixture
def join(api: Api) -> Iterator[Join]:
    """Lets a new user join, each time it is called; at the end they leave."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(person(api.as_new_user()))


@pytest.fixture
def ada(join: Join) -> Person:
    """Somebody who chats."""
    return join()


@pytest.fixture
def bob(join: Join) -> Person:
    """Somebody else who chats."""
    return join()
