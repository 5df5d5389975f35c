"""Where todos are kept: in the database. Each method is one SQL statement."""

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException
from sqlalchemy.ext.asyncio import AsyncSession

from app.todos.models import Todo


class TodoNotFound(HTTPException):
    """There is no todo with this id: answered with 404."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(404, f"There is no todo {todo_id}")


class TodoStore:
    """The todos that a request's session sees and changes."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(self, *, completed: bool | None, limit: int, offset: int) -> Sequence[Todo]:
        """Return up to `limit` todos by id after skipping `offset`, all or only (un)completed."""
        # TODO 2.2: SQLAlchemy is the ORM
        raise NotImplementedError("TODO 2.2: SQLAlchemy is the ORM")

    async def get(self, todo_id: int) -> Todo:
        """Return one todo; raises `TodoNotFound`."""
        # TODO 2.2: SQLAlchemy is the ORM
        raise NotImplementedError("TODO 2.2: SQLAlchemy is the ORM")

    async def create(self, fields: dict[str, Any]) -> Todo:
        """Keep a new todo and return it with its id."""
        # TODO 2.3: Every operation goes through the database: data survives a restart and a SIGKILL
        raise NotImplementedError("TODO 2.3: Every operation goes through the database: data …")

    async def update(self, todo_id: int, fields: dict[str, Any]) -> Todo:
        """Change the given fields and return the todo; raises `TodoNotFound`."""
        # TODO 2.3: Every operation goes through the database: data survives a restart and a SIGKILL
        raise NotImplementedError("TODO 2.3: Every operation goes through the database: data …")

    async def delete(self, todo_id: int) -> None:
        """Delete a todo; raises `TodoNotFound`."""
        # TODO 2.3: Every operation goes through the database: data survives a restart and a SIGKILL
        raise NotImplementedError("TODO 2.3: Every operation goes through the database: data …")
