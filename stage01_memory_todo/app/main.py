"""The application: its title, the objects that live as long as it runs, and its features."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.exceptions import add_error_handlers, errors
from app.home.router import router as home_router
from app.middleware.body_limit import MAX_BODY_SIZE, BodyLimitMiddleware
from app.middleware.cancelled_requests import CancelledRequestMiddleware
from app.middleware.paths import PathMiddleware
from app.shutdown import limit_shutdown
from app.todos.router import router as todos_router
from app.todos.service import TodoService


class AppState(TypedDict):
    """The objects that live as long as the server; handlers find them as `request.state`."""

    todo_service: TodoService


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[AppState]:
    """Create what all requests share. Code before `yield` runs at start, code after it at stop."""
    limit_shutdown()
    yield {"todo_service": TodoService()}


# Like FastAPI(…), but the files of `/docs` come from this server: the page needs no internet.
app = FastAPIOffline(
    title="Todos in memory",
    description="A todo list in memory. It is lost when the server stops.",
    version="1.0.0",
    responses=errors(503),
    lifespan=lifespan,
    redirect_slashes=False,
)
add_error_handlers(app)
app.add_middleware(BodyLimitMiddleware, max_body_size=MAX_BODY_SIZE)
app.add_middleware(PathMiddleware)
app.add_middleware(CancelledRequestMiddleware)
app.include_router(home_router)
app.include_router(todos_router)
