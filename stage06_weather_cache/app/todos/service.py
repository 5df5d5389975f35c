"""The operations on todos. Each method runs one SQL statement."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.todos.models import Todo


class TodoNotFound(HTTPException):
    """There is no todo with this id: answered with 404."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(404, f"There is no todo {todo_id}")


class TodoService:
    """One user's todos. No method can reach the todos of other users."""

    def __init__(self, session: AsyncSession, owner: User) -> None:
        self._session = session
        self._owner_id = owner.id
        self._is_own = Todo.owner_id == owner.id

    async def list(self, *, completed: bool | None, limit: int, offset: int) -> Sequence[Todo]:
        """Return up to `limit` todos by id after skipping `offset`, all or only (un)completed."""
        statement = select(Todo).where(self._is_own)
        statement = statement.order_by(Todo.id).limit(limit).offset(offset)
        if completed is not None:
            statement = statement.where(Todo.completed == completed)
        return (await self._session.scalars(statement)).all()

    async def get(self, todo_id: int) -> Todo:
        """Return one todo; raises `TodoNotFound`."""
        todo = await self._session.scalar(select(Todo).where(self._is_own, Todo.id == todo_id))
        if todo is None:
            raise TodoNotFound(todo_id)
        return todo

    async def create(self, fields: dict[str, Any]) -> Todo:
        """Store a new todo and return it with its id."""
        now = datetime.now(UTC)
        todo = Todo(**fields, owner_id=self._owner_id, created_at=now, updated_at=now)
        self._session.add(todo)
        await self._session.flush()
        return todo

    async def update(self, todo_id: int, fields: dict[str, Any]) -> Todo:
        """Change the given fields and return the todo; raises `TodoNotFound`."""
        if not fields:
            return await self.get(todo_id)
        # One statement: two clients can change different fields at once, and both changes stay.
        statement = (
            update(Todo)
            .where(self._is_own, Todo.id == todo_id)
            .values(**fields, updated_at=datetime.now(UTC))
            .returning(Todo)
            .execution_options(populate_existing=True)  # the row as it is now, not as read before
        )
        todo = await self._session.scalar(statement)
        if todo is None:
            raise TodoNotFound(todo_id)
        return todo

    async def delete(self, todo_id: int) -> None:
        """Delete a todo; raises `TodoNotFound`."""
        statement = delete(Todo).where(self._is_own, Todo.id == todo_id).returning(Todo.id)
        if await self._session.scalar(statement) is None:
            raise TodoNotFound(todo_id)
