"""Requests that may be sent again, and what the database says of how often they were done."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from course.harness.database import Database
from course.harness.driver import Api
from course.harness.server import FIRST_ADMIN, LaunchedServer
from tests.stage04.pictures import PNG, png
from tests.stage04.uploads import disposition, form, part
from tests.stage07.people import Person, expect, first_admin, give_role

PIXELS = png()
_writing_a_post = threading.Lock()


@dataclass(frozen=True)
class Kind:
    """A route that takes a key: how to ask it for something, and where that is kept."""

    name: str
    ask: Callable[[Api, str, dict[str, str]], httpx.Response]
    statement: str
    status: int

    def send(self, api: Api, text: str, key: str | bytes | None) -> httpx.Response:
        """Send a request with a key, or without one, and return the answer."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.ask(api, text, headers)  # type: ignore[arg-type] # httpx takes bytes too

    def times_done(self, database: Database, text: str) -> int:
        """Return how often that text is in the database."""
        ((count,),) = database.query(self.statement, text)
        return int(count)


def ask_for_todo(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a todo with that title."""
    return api.request("POST", "/todos", json={"title": text}, headers=headers)


def ask_for_job(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a job with that text."""
    return api.request("POST", "/jobs", json={"text": text}, headers=headers)


def ask_for_job_by_file(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a job with a file of that text."""
    body, content_type = form(part(disposition("text.txt"), text.encode(), "text/plain"))
    return api.request("POST", "/jobs/file", content=body, headers=headers | content_type)


def first_administrator(api: Api) -> Person:
    """Return the administrator of the server that `api` asks."""
    assert isinstance(api.server, LaunchedServer)
    return first_admin(api.server, api.with_token(None))


def ask_for_post(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a post with that title, as somebody who may write one."""
    me = expect(200, api, "GET", "/users/me")
    if me["role"] == "user":
        give_role(first_administrator(api), Person(api, me["id"], me["username"]), "author")
    return api.request("POST", "/posts", json={"title": text, "body": "b"}, headers=headers)


def ask_for_comment(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a comment that says so, on the one post that is there for it."""
    by_admin = {"author": FIRST_ADMIN["FIRST_ADMIN_USERNAME"], "limit": "100"}
    with _writing_a_post:  # who asks at once comments on the same one
        posts = expect(200, api, "GET", "/posts", params=by_admin)
        post = posts[-1] if posts else first_administrator(api).write_post()
    path = f"/posts/{post['id']}/comments"
    return api.request("POST", path, json={"body": text}, headers=headers)


def ask_for_picture(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Ask for a picture that is called so."""
    body, content_type = form(part(disposition(text), PIXELS, PNG))
    return api.request("POST", "/images", content=body, headers=headers | content_type)


TODO = Kind("todo", ask_for_todo, "SELECT count(*) FROM todos WHERE title = ?", 201)
JOB = Kind("job", ask_for_job, "SELECT count(*) FROM jobs WHERE text = ?", 202)
FILE = Kind("file", ask_for_job_by_file, "SELECT count(*) FROM jobs WHERE text = ?", 202)
POST = Kind("post", ask_for_post, "SELECT count(*) FROM posts WHERE title = ?", 201)
COMMENT = Kind("comment", ask_for_comment, "SELECT count(*) FROM comments WHERE body = ?", 201)
PICTURE = Kind("picture", ask_for_picture, "SELECT count(*) FROM images WHERE filename = ?", 201)
KINDS = (TODO, JOB, FILE, POST, COMMENT)  # an empty text is refused by these
ALL_KINDS = (*KINDS, PICTURE)


def new_key() -> str:
    """Return a key that nobody has used before."""
    return secrets.token_hex(16)


def new_text() -> str:
    """Return a text that nobody has written before."""
    return f"text {secrets.token_hex(8)}"


def is_replayed(answer: httpx.Response) -> bool:
    """Return whether the answer was given before, as it says itself."""
    return "true" in answer.headers.get_list("Idempotency-Replayed")
