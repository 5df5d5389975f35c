"""Where todos are kept: in a dictionary, in memory. They are gone when the server stops."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from fastapi import HTTPException


@dataclass(frozen=True)
class Todo:
    """One task of the list."""

    id: int
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class TodoNotFound(HTTPException):
    """There is no todo with this id: answered with 404."""

    def __init__(self, todo_id: int) -> None:
        super().__init__(404, f"There is no todo {todo_id}")


class TodoStore:
    """All todos of this process. None of its methods waits, so no request sees half a change."""

    def __init__(self) -> None:
        self._todos: dict[int, Todo] = {}
        # Counting on, instead of asking for the highest id: a deleted id is never given out again.
        self._ids = count(1)

    def list(self, *, completed: bool | None, limit: int, offset: int) -> Sequence[Todo]:
        """Return up to `limit` todos by id after skipping `offset`, all or only (un)completed."""
        # TODO 1.7: Data lives in memory, there is no database
        raise NotImplementedError("TODO 1.7: Data lives in memory, there is no database")

    def get(self, todo_id: int) -> Todo:
        """Return one todo; raises `TodoNotFound`."""
        # TODO 1.7: Data lives in memory, there is no database
        raise NotImplementedError("TODO 1.7: Data lives in memory, there is no database")

    def create(self, fields: dict[str, Any]) -> Todo:
        """Keep a new todo and return it with its id."""
        # TODO 1.7: Data lives in memory, there is no database
        raise NotImplementedError("TODO 1.7: Data lives in memory, there is no database")

    def update(self, todo_id: int, fields: dict[str, Any]) -> Todo:
        """Change the given fields and return the todo; raises `TodoNotFound`."""
        # TODO 1.7: Data lives in memory, there is no database
        raise NotImplementedError("TODO 1.7: Data lives in memory, there is no database")

    def delete(self, todo_id: int) -> None:
        """Forget a todo; raises `TodoNotFound`."""
        # TODO 1.7: Data lives in memory, there is no database
        raise NotImplementedError("TODO 1.7: Data lives in memory, there is no database")
