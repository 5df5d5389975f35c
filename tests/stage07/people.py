"""People with roles, and what they write: signing in as the first administrator, giving roles."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from course.harness.driver import Api
from course.harness.server import FIRST_ADMIN, LaunchedServer
from tests.stage03.accounts import new_username, register, token_of

ROLES = ("user", "author", "admin")
NO_SUCH_ID = 2**53 - 1
IMPOSSIBLE_ID = 2**70  # more than a database can hold

Json = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in, and who it is."""

    api: Api
    id: int
    username: str

    def write_post(self, title: str | None = None, body: str = "What there is to say") -> Json:
        """Publish a post, with a title of its own unless one is given, and return it."""
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

    def delete(self, kind: str, thing: Json) -> None:
        """Delete a post (`posts`) or a comment (`comments`)."""
        expect(204, self.api, "DELETE", f"/{kind}/{thing['id']}")

    def restore(self, kind: str, thing: Json) -> Json:
        """Bring it back, as an administrator, and return it."""
        restored: Json = expect(200, self.api, "POST", f"/{kind}/{thing['id']}/restore")
        return restored


def expect(status: int, api: Api, method: str, path: str, **options: Any) -> Any:
    """Send a request whose answer must have this status; return its JSON, None for an empty one."""
    __tracebackhide__ = True
    answer = api.request(method, path, **options)
    said = f"{method} {path}: expected {status}, got {answer.status_code} {answer.text[:300]}"
    assert answer.status_code == status, said
    return answer.json() if answer.content else None


def person(visitor: Api, username: str, password: str) -> Person:
    """Sign in as somebody who is registered."""
    api = visitor.with_token(token_of(visitor, username, password))
    me = expect(200, api, "GET", "/users/me")
    return Person(api, me["id"], me["username"])


def new_person(visitor: Api, admin: Person | None = None, role: str = "user") -> Person:
    """Register somebody and sign in as them; an administrator gives any role but `user`."""
    username, password = new_username(), secrets.token_urlsafe(12)
    assert register(visitor, username, password).status_code == 201
    somebody = person(visitor, username, password)
    if admin is not None and role != "user":
        give_role(admin, somebody, role)
    return somebody


def first_admin(server: LaunchedServer, visitor: Api) -> Person:
    """Sign in as the administrator whom the settings make."""
    given = server.environment()
    username, password = (given[name] for name in FIRST_ADMIN)
    return person(visitor, username, password)


def give_role(admin: Person, somebody: Person, role: str) -> Json:
    """Give somebody a role and return them as the answer shows them."""
    path = f"/users/{somebody.id}/role"
    answer: Json = expect(200, admin.api, "PUT", path, json={"role": role})
    assert answer["role"] == role
    return answer


def read(api: Api, post: Json) -> Json:
    """Return a post as somebody sees it now."""
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
