"""The operations on todos: each reads the input, calls the service and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from app.dependencies import SessionDep
from app.exceptions import errors
from app.params import Limit, Offset, RowId
from app.todos.models import Todo
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.service import TodoService

router = APIRouter(prefix="/todos", tags=["todos"])


async def get_todo_service(session: SessionDep) -> TodoService:
    """Return a service that works in the request's session."""
    return TodoService(session)


TodoServiceDep = Annotated[TodoService, Depends(get_todo_service)]


@router.get("", response_model=list[TodoRead])
async def list_todos(
    service: TodoServiceDep,
    completed: bool | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Sequence[Todo]:
    """Return todos, in the order of their ids."""
    return await service.list(completed=completed, limit=limit, offset=offset)


@router.post(
    "", response_model=TodoRead, status_code=status.HTTP_201_CREATED, responses=errors(413)
)
async def create_todo(todo_in: TodoCreate, service: TodoServiceDep, response: Response) -> Todo:
    """Add a todo."""
    todo = await service.create(todo_in.model_dump())
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo


@router.get("/{todo_id}", response_model=TodoRead, responses=errors(404))
async def read_todo(todo_id: RowId, service: TodoServiceDep) -> Todo:
    """Return one todo."""
    return await service.get(todo_id)


@router.put("/{todo_id}", response_model=TodoRead, responses=errors(404, 413))
async def replace_todo(todo_id: RowId, todo_in: TodoCreate, service: TodoServiceDep) -> Todo:
    """Replace a todo. Fields that you do not send get their defaults."""
    return await service.update(todo_id, todo_in.model_dump())


@router.patch("/{todo_id}", response_model=TodoRead, responses=errors(404, 413))
async def update_todo(todo_id: RowId, todo_in: TodoPatch, service: TodoServiceDep) -> Todo:
    """Change only the fields that you send."""
    return await service.update(todo_id, todo_in.model_dump())


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_todo(todo_id: RowId, service: TodoServiceDep) -> None:
    """Delete a todo."""
    await service.delete(todo_id)
