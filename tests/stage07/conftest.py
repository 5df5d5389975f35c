"""Drivers of the shared server: one that is not signed in, and one for each role."""

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer, Server
from tests.stage07.people import Person, first_admin, new_person, person

NO_ADMIN = "not checked: needs an administrator (--admin-username and --admin-password)"


@pytest.fixture(scope="session")
def signed_out(server: Server) -> Iterator[Api]:
    """Return a driver of the shared server that is not signed in, for the whole test run."""
    with Api(server) as api:
        yield api


@pytest.fixture(scope="session")
def admin(request: pytest.FixtureRequest, server: Server, signed_out: Api) -> Person:
    """Return an administrator of the shared server; no test may demote them."""
    if isinstance(server, LaunchedServer):
        return first_admin(server, signed_out)
    username = request.config.getoption("admin_username")
    password = request.config.getoption("admin_password")
    if not username or not password:
        pytest.skip(NO_ADMIN)
    return person(signed_out, username, password)


@pytest.fixture
def visitor(server: Server) -> Iterator[Api]:
    """Return a driver of the shared server that is not signed in."""
    mark = server.log_mark()
    with Api(server) as visitor:
        yield visitor
    assert "Traceback (most recent call last)" not in server.log_since(mark), (
        "the server logged a traceback while this test ran"
    )


@pytest.fixture
def user(visitor: Api) -> Person:
    """Return a person with the role of new users."""
    return new_person(visitor)


@pytest.fixture
def author(visitor: Api, admin: Person) -> Person:
    """Return a person who may write posts."""
    return new_person(visitor, admin, "author")
