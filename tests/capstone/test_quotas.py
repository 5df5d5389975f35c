"""Row C.1: nobody fills the database alone; the answer to one thing too many is 409, in words."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from tests.capstone.keys import new_key
from tests.stage07.people import Person, first_admin, new_person

pytestmark = pytest.mark.craft

MOST = 13  # more than ten: a process does not count each time


@pytest.fixture(scope="module")
def server(launch_for_module: Launch) -> LaunchedServer:
    """A server where a user may have little."""
    kinds = ("TODOS", "POSTS", "COMMENTS")
    return launch_for_module(start=True, **{f"MAX_{kind}_PER_USER": str(MOST) for kind in kinds})


@pytest.fixture
def author(server: LaunchedServer) -> Iterator[Person]:
    """Somebody who may write all of it."""
    with Api(server) as visitor:
        yield new_person(visitor, first_admin(server, visitor), "author")


def refused(answer: httpx.Response, kind: str) -> None:
    """Assert that the answer says how many there may be."""
    assert answer.status_code == 409, answer.text
    assert f"{MOST} {kind}" in answer.json()["detail"]


@pytest.mark.requirement("C.1")
def test_a_user_has_a_limited_number_of_todos(author: Person) -> None:
    api = author.api
    todos = [api.create_todo() for _ in range(MOST)]
    refused(api.request("POST", "/todos", json={"title": "One more"}), "todos")
    api.as_new_user().create_todo()  # the limit is per user
    api.delete_todo(todos[0]["id"])
    api.create_todo()
    refused(api.request("POST", "/todos", json={"title": "One more"}), "todos")
    assert len(api.list_todos()) == MOST


@pytest.mark.requirement("C.1")
def test_a_user_has_a_limited_number_of_posts_and_comments(author: Person) -> None:
    posts = [author.write_post() for _ in range(MOST)]
    author.delete("posts", posts[0])  # it can come back, so it counts
    post = {"title": "One more", "body": "b"}
    refused(author.api.request("POST", "/posts", json=post), "posts")
    for _ in range(MOST):
        author.comment_on(posts[1])
    path = f"/posts/{posts[1]['id']}/comments"
    refused(author.api.request("POST", path, json={"body": "One more"}), "comments")


@pytest.mark.requirement("C.1")
def test_a_request_that_was_refused_may_be_sent_again_with_its_key(author: Person) -> None:
    api = author.api
    todos = [api.create_todo() for _ in range(MOST)]
    headers = {"Idempotency-Key": new_key()}
    body = {"title": "One more"}
    refused(api.request("POST", "/todos", json=body, headers=headers), "todos")
    api.delete_todo(todos[0]["id"])
    for _ in range(2):  # the second time it is the first answer, in spite of the limit
        assert api.request("POST", "/todos", json=body, headers=headers).status_code == 201
    assert len(api.list_todos()) == MOST
