"""The operations on todos: one function each, which reads the input, asks the store and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from app.database import SessionDep
from app.parameters import Limit, Offset, RowId
from app.todos.models import Todo
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.store import TodoStore

router = APIRouter(prefix="/todos", tags=["todos"])


async def get_store(session: SessionDep) -> TodoStore:
    """Return a store that works in the request's session."""
    return TodoStore(session)


Store = Annotated[TodoStore, Depends(get_store)]


@router.get("", response_model=list[TodoRead])
async def list_todos(
    store: Store,
    completed: bool | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Sequence[Todo]:
    """Return todos by id."""
    return await store.list(completed=completed, limit=limit, offset=offset)


@router.post("", response_model=TodoRead, status_code=status.HTTP_201_CREATED)
async def create_todo(todo_in: TodoCreate, store: Store, response: Response) -> Todo:
    """Add a todo."""
    # TODO 2.6: Pydantic validates all input
    raise NotImplementedError("TODO 2.6: Pydantic validates all input")


@router.get("/{todo_id}", response_model=TodoRead)
async def read_todo(todo_id: RowId, store: Store) -> Todo:
    """Return one todo."""
    return await store.get(todo_id)


@router.put("/{todo_id}", response_model=TodoRead)
async def replace_todo(todo_id: RowId, todo_in: TodoCreate, store: Store) -> Todo:
    """Replace a todo: what is not sent gets its default."""
    # TODO 2.6: Pydantic validates all input
    raise NotImplementedError("TODO 2.6: Pydantic validates all input")


@router.patch("/{todo_id}", response_model=TodoRead)
async def update_todo(todo_id: RowId, todo_in: TodoPatch, store: Store) -> Todo:
    """Change only the fields that are sent."""
    # TODO 2.6: Pydantic validates all input
    raise NotImplementedError("TODO 2.6: Pydantic validates all input")


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: RowId, store: Store) -> None:
    """Delete a todo."""
    await store.delete(todo_id)
