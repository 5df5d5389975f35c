"""The operations on todos. Each method runs one SQL statement."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Response
from sqlalchemy import ColumnElement, delete, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import Owner
from app.cache.http import PreconditionFailed
from app.exceptions import unauthorized
from app.idempotency import Idempotency
from app.quotas import Quotas
from app.todos.models import Todo, namespace
from app.todos.schemas import TodoCreate, TodoRead


class TodoNotFound(HTTPException):
    """There is no todo with this id: answered with 404."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(404, f"There is no todo {todo_id}")


class TodoService:
    """One user's todos. No method can reach the todos of other users."""

    def __init__(self, session: AsyncSession, owner: Owner) -> None:
        self._session = session
        self._owner_id = owner.id

    @property
    def _is_own(self) -> ColumnElement[bool]:
        # Made on first use, since a read from the cache needs none.
        return Todo.owner_id == self._owner_id

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

    async def create(
        self, todo_in: TodoCreate, quotas: Quotas, idempotency: Idempotency
    ) -> Todo | Response:
        """Store a new todo and return it with its id, or the first answer for a used key.

        Raises `QuotaExceeded` when the user already has the maximum of todos.
        """
        if replayed := await idempotency.replay(todo_in):
            return replayed
        await quotas.take(self._session, Todo.owner_id, self._owner_id)
        now = datetime.now(UTC)
        fields = todo_in.model_dump()
        todo = Todo(**fields, owner_id=self._owner_id, created_at=now, updated_at=now)
        self._session.add(todo)
        try:
            await self._session.flush()
        except IntegrityError:  # the owner was deleted after the sign-in
            raise unauthorized() from None
        idempotency.keep(todo, TodoRead, status=HTTPStatus.CREATED, location=location(todo))
        return todo

    async def update(
        self, todo_id: int, fields: dict[str, Any], *, version: datetime | None = None
    ) -> Todo:
        """Change the given fields and return the todo; raises `TodoNotFound`.

        Raises `PreconditionFailed` when the row does not have this `version` of `updated_at`.
        """
        if not fields:
            return await self.get(todo_id)
        # One statement: two clients can change different fields at once, and both changes stay.
        statement = (
            update(Todo)
            .where(self._is_own, Todo.id == todo_id, is_version(version))
            .values(**fields, updated_at=datetime.now(UTC))
            .returning(Todo)
            # Replaces the values in the session, which were read earlier.
            .execution_options(cached_in=namespace(self._owner_id), populate_existing=True)
        )
        todo = await self._session.scalar(statement)
        if todo is None:
            raise TodoNotFound(todo_id) if version is None else PreconditionFailed
        return todo

    async def delete(self, todo_id: int, *, version: datetime | None = None) -> None:
        """Delete a todo; raises `TodoNotFound`, and `PreconditionFailed` as `update` does."""
        statement = (
            delete(Todo)
            .where(self._is_own, Todo.id == todo_id, is_version(version))
            .returning(Todo.id)
            .execution_options(cached_in=namespace(self._owner_id))
        )
        if await self._session.scalar(statement) is None:
            raise TodoNotFound(todo_id) if version is None else PreconditionFailed


def location(todo: Todo) -> str:
    """Return the URL of the todo."""
    return f"/todos/{todo.id}"


def is_version(version: datetime | None) -> ColumnElement[bool]:
    """Return the condition that a todo still has this version; None allows any version."""
    return true() if version is None else Todo.updated_at == version
