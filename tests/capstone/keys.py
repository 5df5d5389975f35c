"""Requests with an idempotency key, and how often the database shows that they were done."""

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
    """A route that accepts a key: how to send a request, and how to find its result."""

    name: str
    ask: Callable[[Api, str, dict[str, str]], httpx.Response]
    statement: str
    status: int

    def send(self, api: Api, text: str, key: str | bytes | None) -> httpx.Response:
        """Send a request with or without a key, and return the answer."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.ask(api, text, headers)  # type: ignore[arg-type] # httpx takes bytes too

    def times_done(self, database: Database, text: str) -> int:
        """Return how many rows in the database contain that text."""
        ((count,),) = database.query(self.statement, text)
        return int(count)


def create_todo(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Create a todo with that title."""
    return api.request("POST", "/todos", json={"title": text}, headers=headers)


def submit_job(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Submit a job with that text."""
    return api.request("POST", "/jobs", json={"text": text}, headers=headers)


def submit_file_job(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Submit a job with a file that contains that text."""
    body, content_type = form(part(disposition("text.txt"), text.encode(), "text/plain"))
    return api.request("POST", "/jobs/file", content=body, headers=headers | content_type)


def first_administrator(api: Api) -> Person:
    """Return the administrator of the server of this driver."""
    assert isinstance(api.server, LaunchedServer)
    return first_admin(api.server, api.with_token(None))


def create_post(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Create a post with that title as an author."""
    me = expect(200, api, "GET", "/users/me")
    if me["role"] == "user":
        give_role(first_administrator(api), Person(api, me["id"], me["username"]), "author")
    return api.request("POST", "/posts", json={"title": text, "body": "b"}, headers=headers)


def create_comment(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Create a comment with that text on the one post that exists for it."""
    by_admin = {"author": FIRST_ADMIN["FIRST_ADMIN_USERNAME"], "limit": "100"}
    with _writing_a_post:  # concurrent calls use the same post
        posts = expect(200, api, "GET", "/posts", params=by_admin)
        post = posts[-1] if posts else first_administrator(api).write_post()
    path = f"/posts/{post['id']}/comments"
    return api.request("POST", path, json={"body": text}, headers=headers)


def upload_picture(api: Api, text: str, headers: dict[str, str]) -> httpx.Response:
    """Upload a picture with that file name."""
    body, content_type = form(part(disposition(text), PIXELS, PNG))
    return api.request("POST", "/images", content=body, headers=headers | content_type)


TODO = Kind("todo", create_todo, "SELECT count(*) FROM todos WHERE title = ?", 201)
JOB = Kind("job", submit_job, "SELECT count(*) FROM jobs WHERE text = ?", 202)
FILE = Kind("file", submit_file_job, "SELECT count(*) FROM jobs WHERE text = ?", 202)
POST = Kind("post", create_post, "SELECT count(*) FROM posts WHERE title = ?", 201)
COMMENT = Kind("comment", create_comment, "SELECT count(*) FROM comments WHERE body = ?", 201)
PICTURE = Kind("picture", upload_picture, "SELECT count(*) FROM images WHERE filename = ?", 201)
KINDS = (TODO, JOB, FILE, POST, COMMENT)  # these refuse an empty text
ALL_KINDS = (*KINDS, PICTURE)


def new_key() -> str:
    """Return a new key."""
    return secrets.token_hex(16)


def new_text() -> str:
    """Return a new text."""
    return f"text {secrets.token_hex(8)}"


def is_replayed(answer: httpx.Response) -> bool:
    """Return whether the answer is marked as a repetition."""
    return "true" in answer.headers.get_list("Idempotency-Replayed")
