"""The floor under our writes: Starlette and asyncpg, which send the SQL of `POST /todos`.

It has no token, validation, cache, metrics or log. `DATABASE_URL` is the
capstone's own database, and `OWNER_ID` a user there.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypedDict

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

INSERT = (
    "INSERT INTO todos (title, description, completed, created_at, updated_at, owner_id)"
    " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id"
)
OWNER_ID = int(os.environ["OWNER_ID"])


class State(TypedDict):
    """The objects that live as long as the server."""

    pool: asyncpg.Pool


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[State]:
    """Open one database connection for each connection of the load."""
    url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
    async with asyncpg.create_pool(url, min_size=16, max_size=16) as pool:
        yield {"pool": pool}


async def create_todo(request: Request) -> JSONResponse:
    """Add a todo."""
    todo = await request.json()
    now = datetime.now(UTC)
    fields = [todo["title"], todo.get("description"), todo.get("completed", False), now, now]
    pool: asyncpg.Pool = request.state.pool
    async with pool.acquire() as connection, connection.transaction():
        todo_id = await connection.fetchval(INSERT, *fields, OWNER_ID)
    created = {"id": todo_id, **todo, "created_at": now.isoformat(), "updated_at": now.isoformat()}
    return JSONResponse(created, 201, {"Location": f"/todos/{todo_id}"})


app = Starlette(routes=[Route("/todos", create_todo, methods=["POST"])], lifespan=lifespan)
