"""One user's todos as JSON: from the cache, or else from the service."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import Owner
from app.cache.cache import Cache, Cached
from app.cache.http import Body, as_body
from app.todos.models import Todo, namespace
from app.todos.schemas import TodoRead
from app.todos.service import TodoService

ONE = TypeAdapter(TodoRead)
MANY = TypeAdapter(list[TodoRead])


def as_json(todo: Todo) -> bytes:
    """Return a todo as JSON."""
    return ONE.dump_json(ONE.validate_python(todo, from_attributes=True))


class CachedTodos:
    """The reads of a `TodoService`. Only a cache miss takes a database connection."""

    def __init__(self, request: Request, owner: Owner) -> None:
        self._cache: Cache = request.state.cache
        self._engine: AsyncEngine = request.state.engine
        self._owner = owner

    async def list(self, *, completed: bool | None, limit: int, offset: int) -> Cached[Body]:
        """Return the result of `TodoService.list`, as JSON."""

        async def load(service: TodoService) -> bytes:
            todos = await service.list(completed=completed, limit=limit, offset=offset)
            return MANY.dump_json(MANY.validate_python(todos, from_attributes=True))

        return await self._get(f"list:{completed}:{limit}:{offset}", load)

    async def get(self, todo_id: int) -> Cached[Body]:
        """Return one todo, as JSON; raises `TodoNotFound`."""

        async def load(service: TodoService) -> bytes:
            return as_json(await service.get(todo_id))

        return await self._get(f"one:{todo_id}", load)

    async def _get(self, key: str, load: Callable[[TodoService], Awaitable[bytes]]) -> Cached[Body]:
        async def load_in_session() -> bytes:
            # A separate session: other requests may still wait for this load after ours has ended.
            async with AsyncSession(self._engine) as session:
                return await load(TodoService(session, self._owner))

        return await self._cache.get(namespace(self._owner.id), key, load_in_session, as_body)
