"""Users with roles: signing in as the first administrator, giving roles, writing posts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from course.harness.driver import Api
from course.harness.server import FIRST_ADMIN, LaunchedServer
from tests.stage03.accounts import new_username, register, token_of

ROLES = ("user", "author", "admin")
NO_SUCH_ID = 2**53 - 1
IMPOSSIBLE_ID = 2**70  # too large for a database

Json = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """A signed-in user with a driver."""

    api: Api
    id: int
    username: str

    def write_post(self, title: str | None = None, body: str = "The text of a post") -> Json:
        """Publish a post and return it; the default title is unique."""
        title = title or f"post {secrets.token_hex(4)}"
        fields = {"title": title, "body": body}
        post: Json = expect(201, self.api, "POST", "/posts", json=fields)
        return post

    def comment_on(self, post: Json, body: str | None = None) -> Json:
        """Comment on a post and return the comment."""
        body = body or f"comment {secrets.token_hex(4)}"
        path = f"/posts/{post['id']}/comments"
        comment: Json = expect(201, self.api, "POST", path, json={"body": body})
        return comment

    def delete(self, kind: str, resource: Json) -> None:
        """Delete a post (`posts`) or a comment (`comments`)."""
        expect(204, self.api, "DELETE", f"/{kind}/{resource['id']}")

    def restore(self, kind: str, resource: Json) -> Json:
        """Restore a post or a comment as an administrator, and return it."""
        restored: Json = expect(200, self.api, "POST", f"/{kind}/{resource['id']}/restore")
        return restored


def expect(status: int, api: Api, method: str, path: str, **options: Any) -> Any:
    """Send a request and check the status; return the JSON, or None if the answer is empty."""
    __tracebackhide__ = True
    answer = api.request(method, path, **options)
    said = f"{method} {path}: expected {status}, got {answer.status_code} {answer.text[:300]}"
    assert answer.status_code == status, said
    return answer.json() if answer.content else None


def person(visitor: Api, username: str, password: str) -> Person:
    """Sign in as a registered user."""
    api = visitor.with_token(token_of(visitor, username, password))
    me = expect(200, api, "GET", "/users/me")
    return Person(api, me["id"], me["username"])


def new_person(visitor: Api, admin: Person | None = None, role: str = "user") -> Person:
    """Register a user and sign in; an administrator assigns any role except `user`."""
    username, password = new_username(), secrets.token_urlsafe(12)
    assert register(visitor, username, password).status_code == 201
    somebody = person(visitor, username, password)
    if admin is not None and role != "user":
        give_role(admin, somebody, role)
    return somebody


def first_admin(server: LaunchedServer, visitor: Api) -> Person:
    """Sign in as the administrator from the settings."""
    given = server.environment()
    username, password = (given[name] for name in FIRST_ADMIN)
    return person(visitor, username, password)


def give_role(admin: Person, somebody: Person, role: str) -> Json:
    """Assign a role to a user and return the user from the answer."""
    path = f"/users/{somebody.id}/role"
    answer: Json = expect(200, admin.api, "PUT", path, json={"role": role})
    assert answer["role"] == role
    return answer


def read(api: Api, post: Json) -> Json:
    """Return a post as this client sees it now."""
    found: Json = expect(200, api, "GET", f"/posts/{post['id']}")
    return found


def posts(api: Api, **query: Any) -> list[Json]:
    """Return one page of the list of posts."""
    page: list[Json] = expect(200, api, "GET", "/posts", params=query)
    return page


def comments(api: Api, post: Json, **query: Any) -> list[Json]:
    """Return one page of the comments on a post."""
    page: list[Json] = expect(200, api, "GET", f"/posts/{post['id']}/comments", params=query)
    return page
