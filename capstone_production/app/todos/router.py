"""The operations on todos: each reads the input, calls the service and answers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from app.cache.http import IfMatchDep, answer
from app.dependencies import CachedUser, SessionDep
from app.exceptions import errors
from app.idempotency import IdempotencyDep
from app.params import Limit, Offset, RowId
from app.quotas import QuotasDep
from app.routing import GuardFirstRoute
from app.todos.cached import CachedTodos, as_json
from app.todos.models import Todo
from app.todos.schemas import TodoCreate, TodoPatch, TodoRead
from app.todos.service import TodoService, location

# A browser may keep the answer, but no shared cache, and must revalidate it each time.
CACHE_CONTROL = "private, no-cache"

router = APIRouter(
    prefix="/todos", tags=["todos"], route_class=GuardFirstRoute, responses=errors(401)
)


async def get_todo_service(session: SessionDep, user: CachedUser) -> TodoService:
    """Return the signed-in user's service, which works in the request's session."""
    return TodoService(session, user)


TodoServiceDep = Annotated[TodoService, Depends(get_todo_service)]


async def get_own_todo(todo_id: RowId, service: TodoServiceDep) -> Todo:
    """Return one of the user's todos. As a dependency it runs before the body is validated."""
    return await service.get(todo_id)


OwnTodo = Annotated[Todo, Depends(get_own_todo)]


@router.get("", response_model=list[TodoRead])
async def list_todos(
    user: CachedUser,
    request: Request,
    completed: bool | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Return todos, in the order of their ids."""
    todos = CachedTodos(request, user)
    cached = await todos.list(completed=completed, limit=limit, offset=offset)
    return answer(request, cached, CACHE_CONTROL)


@router.post(
    "", response_model=TodoRead, status_code=status.HTTP_201_CREATED, responses=errors(409, 413)
)
async def create_todo(
    todo_in: TodoCreate,
    service: TodoServiceDep,
    quotas: QuotasDep,
    idempotency: IdempotencyDep,
    response: Response,
) -> Todo | Response:
    """Add a todo."""
    todo = await service.create(todo_in, quotas, idempotency)
    if isinstance(todo, Todo):
        response.headers["Location"] = location(todo)
    return todo


@router.get("/{todo_id}", response_model=TodoRead, responses=errors(404))
async def read_todo(todo_id: RowId, user: CachedUser, request: Request) -> Response:
    """Return one todo."""
    return answer(request, await CachedTodos(request, user).get(todo_id), CACHE_CONTROL)


@router.put("/{todo_id}", response_model=TodoRead, responses=errors(404, 412, 413))
async def replace_todo(
    todo: OwnTodo, todo_in: TodoCreate, service: TodoServiceDep, if_match: IfMatchDep
) -> Todo:
    """Replace a todo. Fields that you do not send get their defaults."""
    version = if_match.version(todo, as_json)
    return await service.update(todo.id, todo_in.model_dump(), version=version)


@router.patch("/{todo_id}", response_model=TodoRead, responses=errors(404, 412, 413))
async def update_todo(
    todo: OwnTodo, todo_in: TodoPatch, service: TodoServiceDep, if_match: IfMatchDep
) -> Todo:
    """Change only the fields that you send."""
    version = if_match.version(todo, as_json)
    return await service.update(todo.id, todo_in.model_dump(), version=version)


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404, 412))
async def delete_todo(todo: OwnTodo, service: TodoServiceDep, if_match: IfMatchDep) -> None:
    """Delete a todo."""
    await service.delete(todo.id, version=if_match.version(todo, as_json))
