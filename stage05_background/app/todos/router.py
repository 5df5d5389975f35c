"""The operations on todos: one function each, which reads the input, asks the store and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from app.auth.dependencies import CurrentUser
from app.database import SessionDep
from app.errors import GuardFirstRoute
from app.parameters import Limit, Offset, RowId
from app.todos.models import Todo
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.store import TodoStore

router = APIRouter(prefix="/todos", tags=["todos"], route_class=GuardFirstRoute)


async def get_store(session: SessionDep, user: CurrentUser) -> TodoStore:
    """Return the signed-in user's store, which works in the request's session."""
    return TodoStore(session, user)


Store = Annotated[TodoStore, Depends(get_store)]


async def get_own_todo(todo_id: RowId, store: Store) -> Todo:
    """Return one of the user's todos. As a dependency it is asked before the body is judged."""
    return await store.get(todo_id)


OwnTodo = Annotated[Todo, Depends(get_own_todo)]


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
    todo = await store.create(todo_in.model_dump())
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo


@router.get("/{todo_id}", response_model=TodoRead)
async def read_todo(todo: OwnTodo) -> Todo:
    """Return one todo."""
    return todo


@router.put("/{todo_id}", response_model=TodoRead)
async def replace_todo(todo: OwnTodo, todo_in: TodoCreate, store: Store) -> Todo:
    """Replace a todo: what is not sent gets its default."""
    return await store.update(todo.id, todo_in.model_dump())


@router.patch("/{todo_id}", response_model=TodoRead)
async def update_todo(todo: OwnTodo, todo_in: TodoPatch, store: Store) -> Todo:
    """Change only the fields that are sent."""
    return await store.update(todo.id, todo_in.model_dump())


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: RowId, store: Store) -> None:
    """Delete a todo."""
    await store.delete(todo_id)
