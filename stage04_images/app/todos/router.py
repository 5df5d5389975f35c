"""The operations on todos: each reads the input, calls the service and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from app.dependencies import CurrentUser, SessionDep
from app.exceptions import errors
from app.params import Limit, Offset, RowId
from app.routing import GuardFirstRoute
from app.todos.models import Todo
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.service import TodoService

router = APIRouter(
    prefix="/todos", tags=["todos"], route_class=GuardFirstRoute, responses=errors(401)
)


async def get_todo_service(session: SessionDep, user: CurrentUser) -> TodoService:
    """Return the signed-in user's service, which works in the request's session."""
    return TodoService(session, user)


TodoServiceDep = Annotated[TodoService, Depends(get_todo_service)]


async def get_own_todo(todo_id: RowId, service: TodoServiceDep) -> Todo:
    """Return one of the user's todos. As a dependency it runs before the body is validated."""
    return await service.get(todo_id)


OwnTodo = Annotated[Todo, Depends(get_own_todo)]


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
async def read_todo(todo: OwnTodo) -> Todo:
    """Return one todo."""
    return todo


@router.put("/{todo_id}", response_model=TodoRead, responses=errors(404, 413))
async def replace_todo(todo: OwnTodo, todo_in: TodoCreate, service: TodoServiceDep) -> Todo:
    """Replace a todo. Fields that you do not send get their defaults."""
    return await service.update(todo.id, todo_in.model_dump())


@router.patch("/{todo_id}", response_model=TodoRead, responses=errors(404, 413))
async def update_todo(todo: OwnTodo, todo_in: TodoPatch, service: TodoServiceDep) -> Todo:
    """Change only the fields that you send."""
    return await service.update(todo.id, todo_in.model_dump())


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_todo(todo_id: RowId, service: TodoServiceDep) -> None:
    """Delete a todo."""
    await service.delete(todo_id)
