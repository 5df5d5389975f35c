"""The operations on todos, which are in a dictionary: they are lost when the server stops."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from fastapi import HTTPException

from app.todos.models import Todo


class TodoNotFound(HTTPException):
    """There is no todo with this id: answered with 404."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(404, f"There is no todo {todo_id}")


class TodoService:
    """All todos of this process. No method waits, so no request sees an unfinished change."""

    def __init__(self) -> None:
        self._todos: dict[int, Todo] = {}
        # A counter, not the highest id plus one: a deleted id must never be used again.
        self._ids = count(1)

    def list(self, *, completed: bool | None, limit: int, offset: int) -> Sequence[Todo]:
        """Return up to `limit` todos by id after skipping `offset`, all or only (un)completed."""
        todos = [todo for todo in self._todos.values() if completed in (None, todo.completed)]
        return todos[offset : offset + limit]

    def get(self, todo_id: int) -> Todo:
        """Return one todo; raises `TodoNotFound`."""
        try:
            return self._todos[todo_id]
        except KeyError:
            raise TodoNotFound(todo_id) from None

    def create(self, fields: dict[str, Any]) -> Todo:
        """Store a new todo and return it with its id."""
        now = datetime.now(UTC)
        todo = Todo(id=next(self._ids), **fields, created_at=now, updated_at=now)
        self._todos[todo.id] = todo
        return todo

    def update(self, todo_id: int, fields: dict[str, Any]) -> Todo:
        """Change the given fields and return the todo; raises `TodoNotFound`."""
        todo = self.get(todo_id)
        if fields:
            todo = replace(todo, **fields, updated_at=datetime.now(UTC))
            self._todos[todo_id] = todo
        return todo

    def delete(self, todo_id: int) -> None:
        """Delete a todo; raises `TodoNotFound`."""
        self.get(todo_id)
        del self._todos[todo_id]
