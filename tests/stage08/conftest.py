"""Users who chat on the shared server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from course.harness.driver import Api
from tests.stage08.chat import Person, person

Join = Callable[[], Person]


@pytest.fixture
def join(api: Api) -> Iterator[Join]:
    """Return a function that lets a new user join; at the end of the test all leave."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(person(api.as_new_user()))


@pytest.fixture
def ada(join: Join) -> Person:
    """Return a user with an open socket."""
    return join()


@pytest.fixture
def bob(join: Join) -> Person:
    """Return another user with an open socket."""
    return join()
