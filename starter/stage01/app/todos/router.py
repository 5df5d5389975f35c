"""The operations on todos: one function each, which reads the input, asks the store and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from app.parameters import Limit, Offset, RowId
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.store import Todo, TodoStore

router = APIRouter(prefix="/todos", tags=["todos"])


async def get_store(request: Request) -> TodoStore:
    """Return the store that was made when the server started."""
    store: TodoStore = request.state.todo_store
    return store


Store = Annotated[TodoStore, Depends(get_store)]


@router.get("", response_model=list[TodoRead])
async def list_todos(
    store: Store,
    completed: bool | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Sequence[Todo]:
    """Return todos by id."""
    # TODO 1.1: List all tasks
    raise NotImplementedError("TODO 1.1: List all tasks")


@router.post("", response_model=TodoRead, status_code=status.HTTP_201_CREATED)
async def create_todo(todo_in: TodoCreate, store: Store, response: Response) -> Todo:
    """Add a todo."""
    # TODO 1.3: Add a task
    raise NotImplementedError("TODO 1.3: Add a task")


@router.get("/{todo_id}", response_model=TodoRead)
async def read_todo(todo_id: RowId, store: Store) -> Todo:
    """Return one todo."""
    # TODO 1.2: Read one task by its id
    raise NotImplementedError("TODO 1.2: Read one task by its id")


@router.put("/{todo_id}", response_model=TodoRead)
async def replace_todo(todo_id: RowId, todo_in: TodoCreate, store: Store) -> Todo:
    """Replace a todo: what is not sent gets its default."""
    # TODO 1.5: Update a task
    raise NotImplementedError("TODO 1.5: Update a task")


@router.patch("/{todo_id}", response_model=TodoRead)
async def update_todo(todo_id: RowId, todo_in: TodoPatch, store: Store) -> Todo:
    """Change only the fields that are sent."""
    # TODO 1.5: Update a task
    raise NotImplementedError("TODO 1.5: Update a task")


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: RowId, store: Store) -> None:
    """Delete a todo."""
    # TODO 1.4: Delete a task by its id
    raise NotImplementedError("TODO 1.4: Delete a task by its id")
