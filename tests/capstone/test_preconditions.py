"""Requirement C.1: `ETag`, `If-Match` and 412 prevent lost updates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from course.harness.contract import variants
from course.harness.driver import NO_BODY, Api
from course.harness.server import LaunchedServer, Server
from course.harness.waiting import eventually, in_parallel
from tests.stage04.uploads import new_image
from tests.stage07.people import expect, first_admin, new_person

pytestmark = pytest.mark.craft

AT_ONCE = 12
SOON = 3.0  # seconds until another process knows of a change


@dataclass(frozen=True)
class Resource:
    """A resource with an ETag: a driver of its owner, its path, and the ways to change it."""

    api: Api
    path: str
    changes: list[tuple[str, Any]]

    def etag(self) -> str:
        """Return its current ETag."""
        answer = self.api.request("GET", self.path)
        assert answer.status_code == 200
        return answer.headers["etag"]

    def change(self, number: int, if_match: str | None, body: Any = NO_BODY) -> httpx.Response:
        """Send one of the changes."""
        method, usual = self.changes[number]
        headers = {} if if_match is None else {"If-Match": if_match}
        json = usual if body is NO_BODY else body
        return self.api.request(method, self.path, json=json, headers=headers)


def a_todo(api: Api, _server: Server) -> Resource:
    """Create a todo."""
    path = f"/todos/{api.create_todo()['id']}"
    changes = [("PATCH", {"title": "new"}), ("PUT", {"title": "all new"}), ("DELETE", NO_BODY)]
    return Resource(api, path, changes)


def a_post(api: Api, server: Server) -> Resource:
    """Create a post of an author."""
    assert isinstance(server, LaunchedServer)
    visitor = api.with_token(None)
    author = new_person(visitor, first_admin(server, visitor), "author")
    path = f"/posts/{author.write_post()['id']}"
    return Resource(author.api, path, [("PATCH", {"title": "new"}), ("DELETE", NO_BODY)])


def a_job(api: Api, _server: Server) -> Resource:
    """Create a job that is scheduled for the year 2100."""
    body = {"text": "later", "run_at": "2100-01-01T00:00:00Z"}
    path = f"/jobs/{expect(202, api, 'POST', '/jobs', json=body)['id']}"
    return Resource(api, path, [("DELETE", NO_BODY)])


def an_image(api: Api, _server: Server) -> Resource:
    """Upload an image."""
    return Resource(api, f"/images/{new_image(api)['id']}", [("DELETE", NO_BODY)])


Make = Callable[[Api, Server], Resource]
WAYS = [
    pytest.param(make, number, id=f"{make.__name__}-{number}")
    for make, ways in ((a_todo, 3), (a_post, 2), (a_job, 1), (an_image, 1))
    for number in range(ways)
]
each_way = pytest.mark.parametrize(("make", "number"), WAYS)
each_resource = pytest.mark.parametrize(
    "make", [a_todo, a_post, a_job, an_image], ids=lambda make: make.__name__
)


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U15")
@each_resource
def test_a_resource_has_an_etag_and_answers_304_for_it(
    api: Api, server: Server, make: Make
) -> None:
    resource = make(api, server)
    headers = {"If-None-Match": resource.etag()}
    answer = resource.api.request("GET", resource.path, headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == headers["If-None-Match"]


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U15")
@each_way
@pytest.mark.parametrize(
    "wrong",
    variants(
        ['"other"', "W/{}", "other", "", '"a", "b"', "{}x"],
        craft=["W/{}", "other", "", '"a", "b"', "{}x"],
    ),
)
def test_a_change_with_an_old_etag_gets_412(
    api: Api, server: Server, make: Make, number: int, wrong: str
) -> None:
    resource = make(api, server)
    etag = resource.etag()
    answer = resource.change(number, wrong.format(etag))
    assert answer.status_code == 412
    assert isinstance(answer.json()["detail"], str)
    assert resource.etag() == etag


@pytest.mark.requirement("C.1")
@each_way
@pytest.mark.parametrize("right", ["{}", '"other", {}', "*", None])
def test_a_change_with_the_current_etag_succeeds(
    api: Api, server: Server, make: Make, number: int, right: str | None
) -> None:
    resource = make(api, server)
    etag = resource.etag()
    answer = resource.change(number, right and right.format(etag))
    assert answer.status_code in (200, 204)


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("make", [a_todo, a_post], ids=lambda make: make.__name__)
def test_the_second_change_with_the_same_etag_gets_412(
    api: Api, server: Server, make: Make
) -> None:
    resource = make(api, server)
    etag = resource.etag()
    assert resource.change(0, etag, {"title": "of the first"}).status_code == 200
    assert resource.change(0, etag, {"title": "of the second"}).status_code == 412
    eventually(lambda: resource.etag() != etag, within=SOON)
    assert resource.api.request("GET", resource.path).json()["title"] == "of the first"


@pytest.mark.requirement("C.1")
@each_way
def test_concurrent_changes_with_one_etag_succeed_once(
    api: Api, server: Server, make: Make, number: int
) -> None:
    """This also holds for several processes on PostgreSQL, because the UPDATE itself compares."""
    resource = make(api, server)
    etag = resource.etag()
    answers = in_parallel(AT_ONCE, lambda _: resource.change(number, etag))
    assert not answers.errors
    statuses = sorted(answer.status_code for answer in answers.results)
    assert statuses[0] in (200, 204)
    assert set(statuses[1:]) <= {404, 409, 412}


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("make", [a_todo, a_post], ids=lambda make: make.__name__)
def test_401_403_404_and_422_take_precedence_over_412(api: Api, server: Server, make: Make) -> None:
    resource = make(api, server)
    stranger = Resource(api.as_new_user(), resource.path, resource.changes)
    assert stranger.change(0, '"other"').status_code in (403, 404)
    assert (
        Resource(api.with_token(None), resource.path, resource.changes).change(0, "*").status_code
        == 401
    )
    assert resource.change(0, "*", {"title": 1}).status_code == 422
