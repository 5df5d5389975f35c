"""A server of stages 1 to 3 without FastAPI: aiohttp, sqlite3 and a JWT by hand.

    python tools/tests/grade/subjects/foreign.py 8000

It follows the contract, with its own texts. If a test fails here, the test requires too much. Todos
are in `todo.db` in the current directory; `JWT_SECRET`, `ACCESS_TOKEN_TTL` and `BCRYPT_ROUNDS` are
read from the environment. It has no docs and no OpenAPI, since the contract does not require them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qs

import bcrypt
from aiohttp import web

MIB = 1024 * 1024
LARGEST_ID = 2**63 - 1
SECRET = os.environ.get("JWT_SECRET", secrets.token_hex()).encode()
TTL = int(os.environ.get("ACCESS_TOKEN_TTL", "1800"))  # seconds
ROUNDS = int(os.environ.get("BCRYPT_ROUNDS", "12"))
HEADER = {"alg": "HS256", "typ": "JWT"}
FORM = "application/x-www-form-urlencoded"

TABLES = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE, password_hash BLOB NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS todos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, description TEXT,
    completed INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    owner_id INTEGER NOT NULL REFERENCES users (id)
);
"""

Json = dict[str, Any]
Handler = Callable[[web.Request, sqlite3.Row], Awaitable[web.Response]]

database = sqlite3.connect("todo.db", isolation_level=None)
database.row_factory = sqlite3.Row
database.execute("PRAGMA journal_mode = WAL")
database.executescript(TABLES)
dummy_hash = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(ROUNDS))
routes = web.RouteTableDef()


# --- Errors


class Problem(Exception):
    """An answer that ends a request: a status, a text, and headers."""

    def __init__(self, status: int, detail: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answer = web.json_response({"detail": detail}, status=status, headers=headers)


def unauthorized(detail: str) -> Problem:
    """Return the answer for a client that is not signed in."""
    return Problem(401, detail, {"WWW-Authenticate": "Bearer"})


def invalid(where: list[str], why: str) -> Problem:
    """Return the answer to invalid input."""
    return Problem(422, [{"loc": where, "msg": why, "type": "invalid"}])


def not_found() -> NoReturn:
    """Answer 404, whether or not another user has this todo."""
    raise Problem(404, "No such todo.")


@web.middleware
async def answer_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every error in JSON, also those of the framework."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.answer
    except web.HTTPException as error:
        kept = {
            name: error.headers[name] for name in ("Allow", "Location") if name in error.headers
        }
        return Problem(error.status, error.reason, kept).answer


# --- Input


async def read_fields(request: web.Request, known: Mapping[str, Callable[[Any], Any]]) -> Json:
    """Return the object in the body with checked fields; a 422 names every fault."""
    content = await request.read()
    if request.content_type != "application/json":
        raise Problem(415, "Send JSON.")

    def refuse(_: str) -> NoReturn:
        raise ValueError

    try:
        body = json.loads(content.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        raise invalid(["body"], "This is not JSON.") from None
    if not isinstance(body, dict):
        raise invalid(["body"], "This is not an object.")
    fields, faults = {}, []
    for name, value in body.items():
        try:
            if name not in known:
                raise ValueError("There is no such field.")
            fields[name] = known[name](value)
        except ValueError as error:
            faults.append({"loc": ["body", name], "msg": str(error), "type": "invalid"})
    if faults:
        raise Problem(422, faults[:20])
    return fields


def required(fields: Json, *names: str) -> None:
    """Refuse an object without one of these fields."""
    for name in names:
        if name not in fields:
            raise invalid(["body", name], "This field is required.")


def text(value: Any) -> str:
    """Return a text that UTF-8 can carry; `ValueError` for anything else."""
    if not isinstance(value, str):
        raise ValueError("This is not a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("This text cannot be UTF-8.") from None
    return value


def title(value: Any) -> str:
    """Return a title without white space around it."""
    trimmed = text(value).strip()
    if not 1 <= len(trimmed) <= 200:
        raise ValueError("A title has 1 to 200 characters.")
    return trimmed


def description(value: Any) -> str | None:
    """Return a description or None."""
    if value is not None and len(text(value)) > 2000:
        raise ValueError("A description has up to 2000 characters.")
    return None if value is None else text(value)


def completed(value: Any) -> bool:
    """Return a real boolean."""
    if not isinstance(value, bool):
        raise ValueError("This is neither true nor false.")
    return value


def username(value: Any) -> str:
    """Return a name of the characters that names may have."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{3,50}", text(value)):
        raise ValueError("A name has 3 to 50 characters of A-Z, a-z, 0-9, _, . and -.")
    return text(value)


def password(value: Any) -> str:
    """Return a password that bcrypt can hold."""
    if len(text(value)) < 8 or len(value.encode()) > 72 or "\0" in value:
        raise ValueError("A password has 8 characters to 72 bytes, and no NUL.")
    return text(value)


TODO_FIELDS = {"title": title, "description": description, "completed": completed}


def number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """Return a whole number of the query."""
    given = request.query.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,19}", given) or not least <= int(given) <= most:
        raise invalid(["query", name], f"This is not a whole number from {least} to {most}.")
    return int(given)


def todo_id(request: web.Request) -> int:
    """Return the id of the path; an impossible id is 404."""
    given = request.match_info["id"]
    if not re.fullmatch(r"[0-9]{1,19}", given) or int(given) > LARGEST_ID:
        not_found()
    return int(given)


# --- Tokens


def base64url(data: bytes) -> str:
    """Return Base64 for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(part: str) -> bytes:
    """Decode the result of `base64url`; raise `ValueError` for anything else."""
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def sign(signed: str) -> str:
    """Return the signature of the first two parts of a token."""
    return base64url(hmac.new(SECRET, signed.encode(), hashlib.sha256).digest())


def make_token(user_id: int) -> str:
    """Return a JWT."""
    now = int(time.time())
    claims = {"sub": str(user_id), "iat": now, "exp": now + TTL, "jti": secrets.token_hex(8)}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (HEADER, claims))
    return f"{signed}.{sign(signed)}"


def user_of(request: web.Request) -> sqlite3.Row:
    """Return the user of the request's token; answer 401 without a token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        header, payload, signature = token.split(".")
        # Read the claims only after the signature has been checked.
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            sign(f"{header}.{payload}").encode(), signature.encode()
        ):
            raise ValueError
        claims = json.loads(from_base64url(payload))
        if json.loads(from_base64url(header)) != HEADER or claims["exp"] <= time.time():
            raise ValueError
    except (ValueError, RecursionError):
        raise unauthorized("Sign in first.") from None
    found = database.execute("SELECT * FROM users WHERE id = ?", (int(claims["sub"]),)).fetchone()
    if found is None:
        raise unauthorized("Sign in first.")
    user: sqlite3.Row = found
    return user


def signed_in(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Make a handler of signed-in users only."""

    async def guarded(request: web.Request) -> web.Response:
        return await handler(request, user_of(request))

    return guarded


# --- Users


def shown_user(user: sqlite3.Row) -> Json:
    """Return the public fields of a user."""
    return {name: user[name] for name in ("id", "username", "created_at")}


@routes.post("/auth/register")
async def register(request: web.Request) -> web.Response:
    """Register a user."""
    fields = await read_fields(request, {"username": username, "password": password})
    required(fields, "username", "password")
    secret = fields["password"].encode()
    hashed = await asyncio.to_thread(bcrypt.hashpw, secret, bcrypt.gensalt(ROUNDS))
    name, now = fields["username"], datetime.now(UTC).isoformat()
    try:
        user = database.execute(
            "INSERT INTO users (username, folded, password_hash, created_at)"
            " VALUES (?, ?, ?, ?) RETURNING *",
            (name, name.lower(), hashed, now),
        ).fetchone()
    except sqlite3.IntegrityError:
        raise Problem(409, "Somebody has this name.") from None
    return web.json_response(shown_user(user), status=201, headers={"Location": "/users/me"})


@routes.post("/auth/token")
async def sign_in(request: web.Request) -> web.Response:
    """Exchange a name and a password for a token."""
    if request.can_read_body and request.content_type != FORM:
        raise Problem(415, "Send a form.")
    try:
        body = (await request.read()).decode()
        form = parse_qs(body, keep_blank_values=True, errors="strict", max_num_fields=100)
        name, secret = form["username"][0], form["password"][0].encode()
    except (KeyError, ValueError):
        raise invalid(["body"], "Send a form with username and password.") from None
    user = database.execute("SELECT * FROM users WHERE folded = ?", (name.lower(),)).fetchone()
    fits = len(secret) <= 72 and b"\0" not in secret
    hashed = user["password_hash"] if user else dummy_hash
    right = await asyncio.to_thread(bcrypt.checkpw, secret if fits else b"", hashed)
    if not (user and fits and right):
        raise unauthorized("The name or the password is wrong.")
    answer = {"access_token": make_token(user["id"]), "token_type": "bearer", "expires_in": TTL}
    return web.json_response(answer, headers={"Cache-Control": "no-store"})


@routes.get("/users/me")
@signed_in
async def read_me(_request: web.Request, user: sqlite3.Row) -> web.Response:
    """Return the signed-in user."""
    return web.json_response(shown_user(user))


# --- Todos


def shown_todo(todo: sqlite3.Row) -> Json:
    """Return the fields of a todo."""
    names = ("id", "title", "description", "created_at", "updated_at")
    return {name: todo[name] for name in names} | {"completed": bool(todo["completed"])}


def find(request: web.Request, user: sqlite3.Row) -> sqlite3.Row:
    """Return one of the user's todos."""
    found = database.execute(
        "SELECT * FROM todos WHERE id = ? AND owner_id = ?", (todo_id(request), user["id"])
    ).fetchone()
    if found is None:
        not_found()
    todo: sqlite3.Row = found
    return todo


def change(request: web.Request, user: sqlite3.Row, fields: Json) -> web.Response:
    """Change these fields of one of the user's todos."""
    todo = find(request, user)
    new = {**dict(todo), **fields}
    if fields:
        new["updated_at"] = datetime.now(UTC).isoformat()
    changed = database.execute(
        "UPDATE todos SET title = ?, description = ?, completed = ?, updated_at = ?"
        " WHERE id = ? RETURNING *",
        (new["title"], new["description"], new["completed"], new["updated_at"], todo["id"]),
    ).fetchone()
    return web.json_response(shown_todo(changed))


@routes.get("/todos")
@signed_in
async def list_todos(request: web.Request, user: sqlite3.Row) -> web.Response:
    """List the user's todos by id."""
    limit = number(request, "limit", 100, 1, 100)
    offset = number(request, "offset", 0, 0, LARGEST_ID)
    wanted = request.query.get("completed")
    if wanted not in (None, "true", "false"):
        raise invalid(["query", "completed"], "This is neither true nor false.")
    found = database.execute(
        "SELECT * FROM todos WHERE owner_id = ? AND completed = coalesce(?, completed)"
        " ORDER BY id LIMIT ? OFFSET ?",
        (user["id"], wanted and wanted == "true", limit, offset),
    )
    return web.json_response([shown_todo(todo) for todo in found])


@routes.post("/todos")
@signed_in
async def create_todo(request: web.Request, user: sqlite3.Row) -> web.Response:
    """Add a todo."""
    fields = await read_fields(request, TODO_FIELDS)
    required(fields, "title")
    now = datetime.now(UTC).isoformat()
    values = (fields["title"], fields.get("description"), fields.get("completed", False))
    todo = database.execute(
        "INSERT INTO todos (title, description, completed, created_at, updated_at, owner_id)"
        " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
        (*values, now, now, user["id"]),
    ).fetchone()
    location = {"Location": f"/todos/{todo['id']}"}
    return web.json_response(shown_todo(todo), status=201, headers=location)


@routes.get("/todos/{id}")
@signed_in
async def read_todo(request: web.Request, user: sqlite3.Row) -> web.Response:
    """Return a todo."""
    return web.json_response(shown_todo(find(request, user)))


@routes.put("/todos/{id}")
@signed_in
async def replace_todo(request: web.Request, user: sqlite3.Row) -> web.Response:
    """Replace a todo."""
    fields = await read_fields(request, TODO_FIELDS)
    required(fields, "title")
    return change(request, user, {"description": None, "completed": False} | fields)


@routes.patch("/todos/{id}")
@signed_in
async def patch_todo(request: web.Request, user: sqlite3.Row) -> web.Response:
    """Change the sent fields of a todo."""
    return change(request, user, await read_fields(request, TODO_FIELDS))


@routes.delete("/todos/{id}")
@signed_in
async def delete_todo(request: web.Request, user: sqlite3.Row) -> web.Response:
    """Delete a todo."""
    database.execute("DELETE FROM todos WHERE id = ?", (find(request, user)["id"],))
    return web.Response(status=204)


def make_app() -> web.Application:
    """Return the application, which redirects a path with a slash at its end."""
    slashes = web.normalize_path_middleware(append_slash=False, remove_slash=True)
    app = web.Application(middlewares=[answer_problems, slashes], client_max_size=MIB)
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), access_log=None)
