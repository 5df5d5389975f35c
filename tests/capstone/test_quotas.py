"""Requirement C.1: a user has a limited number of rows; one more gets 409 with a reason."""

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

MOST = 13  # more than ten, because a process does not count for every request


@pytest.fixture(scope="module")
def server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server with low limits."""
    kinds = ("TODOS", "POSTS", "COMMENTS")
    return launch_for_module(start=True, **{f"MAX_{kind}_PER_USER": str(MOST) for kind in kinds})


@pytest.fixture
def author(server: LaunchedServer) -> Iterator[Person]:
    """Return an author, who may create all kinds."""
    with Api(server) as visitor:
        yield new_person(visitor, first_admin(server, visitor), "author")


def refused(answer: httpx.Response, kind: str) -> None:
    """Assert that the answer is a 409 that names the limit."""
    assert answer.status_code == 409, answer.text
    assert f"{MOST} {kind}" in answer.json()["detail"]


@pytest.mark.requirement("C.1")
def test_the_number_of_todos_of_a_user_is_limited(author: Person) -> None:
    api = author.api
    todos = [api.create_todo() for _ in range(MOST)]
    refused(api.request("POST", "/todos", json={"title": "One more"}), "todos")
    api.as_new_user().create_todo()  # each user has their own limit
    api.delete_todo(todos[0]["id"])
    api.create_todo()
    refused(api.request("POST", "/todos", json={"title": "One more"}), "todos")
    assert len(api.list_todos()) == MOST


@pytest.mark.requirement("C.1")
def test_the_number_of_posts_and_comments_of_a_user_is_limited(author: Person) -> None:
    posts = [author.write_post() for _ in range(MOST)]
    author.delete("posts", posts[0])  # it can be restored, so it counts
    post = {"title": "One more", "body": "b"}
    refused(author.api.request("POST", "/posts", json=post), "posts")
    for _ in range(MOST):
        author.comment_on(posts[1])
    path = f"/posts/{posts[1]['id']}/comments"
    refused(author.api.request("POST", path, json={"body": "One more"}), "comments")


@pytest.mark.requirement("C.1")
def test_a_refused_request_can_be_repeated_with_its_key(author: Person) -> None:
    api = author.api
    todos = [api.create_todo() for _ in range(MOST)]
    headers = {"Idempotency-Key": new_key()}
    body = {"title": "One more"}
    refused(api.request("POST", "/todos", json=body, headers=headers), "todos")
    api.delete_todo(todos[0]["id"])
    for _ in range(2):  # the second answer repeats the first, despite the limit
        assert api.request("POST", "/todos", json=body, headers=headers).status_code == 201
    assert len(api.list_todos()) == MOST
