"""Row C.1: nobody overwrites unseen what somebody else has changed: `ETag`, `If-Match` and 412."""

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
SOON = 3.0  # seconds, in which another process learns of a change


@dataclass(frozen=True)
class Thing:
    """Something with an ETag: who may change it, where it is, and the ways to change it."""

    api: Api
    path: str
    changes: list[tuple[str, Any]]

    def etag(self) -> str:
        """Return the ETag that it has now."""
        answer = self.api.request("GET", self.path)
        assert answer.status_code == 200
        return answer.headers["etag"]

    def change(self, number: int, if_match: str | None, body: Any = NO_BODY) -> httpx.Response:
        """Change it in one of the ways."""
        method, usual = self.changes[number]
        headers = {} if if_match is None else {"If-Match": if_match}
        json = usual if body is NO_BODY else body
        return self.api.request(method, self.path, json=json, headers=headers)


def a_todo(api: Api, _server: Server) -> Thing:
    """A new todo."""
    path = f"/todos/{api.create_todo()['id']}"
    changes = [("PATCH", {"title": "new"}), ("PUT", {"title": "all new"}), ("DELETE", NO_BODY)]
    return Thing(api, path, changes)


def a_post(api: Api, server: Server) -> Thing:
    """A new post of an author."""
    assert isinstance(server, LaunchedServer)
    visitor = api.with_token(None)
    author = new_person(visitor, first_admin(server, visitor), "author")
    path = f"/posts/{author.write_post()['id']}"
    return Thing(author.api, path, [("PATCH", {"title": "new"}), ("DELETE", NO_BODY)])


def a_job(api: Api, _server: Server) -> Thing:
    """A job that waits for the year 2100."""
    body = {"text": "later", "run_at": "2100-01-01T00:00:00Z"}
    path = f"/jobs/{expect(202, api, 'POST', '/jobs', json=body)['id']}"
    return Thing(api, path, [("DELETE", NO_BODY)])


def an_image(api: Api, _server: Server) -> Thing:
    """A new image."""
    return Thing(api, f"/images/{new_image(api)['id']}", [("DELETE", NO_BODY)])


Make = Callable[[Api, Server], Thing]
WAYS = [
    pytest.param(make, number, id=f"{make.__name__}-{number}")
    for make, ways in ((a_todo, 3), (a_post, 2), (a_job, 1), (an_image, 1))
    for number in range(ways)
]
each_way = pytest.mark.parametrize(("make", "number"), WAYS)
each_thing = pytest.mark.parametrize(
    "make", [a_todo, a_post, a_job, an_image], ids=lambda make: make.__name__
)


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U15")
@each_thing
def test_a_thing_has_an_etag_and_is_304_for_whoever_has_it(
    api: Api, server: Server, make: Make
) -> None:
    thing = make(api, server)
    headers = {"If-None-Match": thing.etag()}
    answer = thing.api.request("GET", thing.path, headers=headers)
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
def test_a_change_of_something_else_than_was_seen_is_412(
    api: Api, server: Server, make: Make, number: int, wrong: str
) -> None:
    thing = make(api, server)
    etag = thing.etag()
    answer = thing.change(number, wrong.format(etag))
    assert answer.status_code == 412
    assert isinstance(answer.json()["detail"], str)
    assert thing.etag() == etag


@pytest.mark.requirement("C.1")
@each_way
@pytest.mark.parametrize("right", ["{}", '"other", {}', "*", None])
def test_a_change_of_what_was_seen_is_done(
    api: Api, server: Server, make: Make, number: int, right: str | None
) -> None:
    thing = make(api, server)
    etag = thing.etag()
    answer = thing.change(number, right and right.format(etag))
    assert answer.status_code in (200, 204)


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("make", [a_todo, a_post], ids=lambda make: make.__name__)
def test_the_second_of_two_who_saw_the_same_is_told(api: Api, server: Server, make: Make) -> None:
    thing = make(api, server)
    etag = thing.etag()
    assert thing.change(0, etag, {"title": "of the first"}).status_code == 200
    assert thing.change(0, etag, {"title": "of the second"}).status_code == 412
    eventually(lambda: thing.etag() != etag, within=SOON)
    assert thing.api.request("GET", thing.path).json()["title"] == "of the first"


@pytest.mark.requirement("C.1")
@each_way
def test_of_several_at_once_who_saw_the_same_one_wins(
    api: Api, server: Server, make: Make, number: int
) -> None:
    """Also on PostgreSQL, on several processes: the statement that changes it decides."""
    thing = make(api, server)
    etag = thing.etag()
    answers = in_parallel(AT_ONCE, lambda _: thing.change(number, etag))
    assert not answers.errors
    statuses = sorted(answer.status_code for answer in answers.results)
    assert statuses[0] in (200, 204)
    assert set(statuses[1:]) <= {404, 409, 412}


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("make", [a_todo, a_post], ids=lambda make: make.__name__)
def test_whose_it_is_and_what_is_sent_come_before_the_etag(
    api: Api, server: Server, make: Make
) -> None:
    thing = make(api, server)
    stranger = Thing(api.as_new_user(), thing.path, thing.changes)
    assert stranger.change(0, '"other"').status_code in (403, 404)
    assert Thing(api.with_token(None), thing.path, thing.changes).change(0, "*").status_code == 401
    assert thing.change(0, "*", {"title": 1}).status_code == 422
