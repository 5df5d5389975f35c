"""The application: its title, the objects that live as long as it runs, and its features."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.router import router as auth_router
from app.auth.security import PasswordHasher
from app.auth.service import find_highest_cost
from app.blog.router import router as blog_router
from app.chat.access import hide_tokens_in_logs
from app.chat.hub import Hub
from app.chat.page import router as chat_page_router
from app.chat.router import router as chat_router
from app.config import Settings, load_settings
from app.database import create_engine
from app.exceptions import add_error_handlers, errors
from app.gallery.router import router as gallery_router
from app.home.router import router as home_router
from app.images.router import router as images_router
from app.images.service import sweep
from app.images.storage import MediaStorage
from app.jobs.queue import CeleryQueue, JobQueue, LocalQueue
from app.jobs.router import router as jobs_router
from app.jobs.streams import JobStreams
from app.middleware.body_limit import MAX_BODY_SIZE, BodyLimitMiddleware
from app.middleware.cancelled_requests import CancelledRequestMiddleware
from app.middleware.force_close import ForceCloseMiddleware
from app.middleware.paths import PathMiddleware
from app.migrate import upgrade_schema
from app.shutdown import Shutdown, limit_shutdown
from app.todos.router import router as todos_router
from app.users.first_admin import ensure_first_admin
from app.users.router import router as users_router
from app.weather.providers import choose_provider
from app.weather.router import router as weather_router
from app.weather.service import WeatherService
from app.weather.upstream import open_client
from app.workarounds.uvicorn_websockets import log_clients_mistakes_quietly


class AppState(TypedDict):
    """The objects that live as long as the server; handlers find them as `request.state`."""

    settings: Settings
    engine: AsyncEngine
    password_hasher: PasswordHasher
    media_storage: MediaStorage
    job_queue: JobQueue
    job_streams: JobStreams
    weather_service: WeatherService
    hub: Hub


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[AppState]:
    """Create what all requests share. Code before `yield` runs at start, code after it at stop."""
    limit_shutdown()
    settings = load_settings()
    if settings.environment == "development":
        await upgrade_schema()
    engine = create_engine(settings)
    highest_cost = await find_highest_cost(engine)
    password_hasher = PasswordHasher(settings.bcrypt_rounds, highest_cost=highest_cost)
    await ensure_first_admin(settings, engine, password_hasher)
    media_storage = MediaStorage(settings.media_dir)
    async with AsyncSession(engine) as session:
        await sweep(media_storage, session)
    queue = CeleryQueue(settings.redis_url) if settings.redis_url else LocalQueue(engine, settings)
    shutdown = Shutdown()
    streams = JobStreams(engine, shutdown, limit=settings.max_job_streams_per_user)
    with shutdown.watched():
        async with queue.running(), streams.running(), open_client(settings) as client:
            yield {
                "settings": settings,
                "engine": engine,
                "password_hasher": password_hasher,
                "media_storage": media_storage,
                "job_queue": queue,
                "job_streams": streams,
                "weather_service": WeatherService(choose_provider(client, settings), settings),
                "hub": Hub(),
            }
    await engine.dispose()


# Our log lines look like uvicorn's.
logging.basicConfig(format="%(levelname)s:     %(message)s")
logging.getLogger("app").setLevel(logging.INFO)
hide_tokens_in_logs()
log_clients_mistakes_quietly()
# Like FastAPI(…), but the files of `/docs` come from this server: the page needs no internet.
app = FastAPIOffline(
    title="A small community",
    description="Todo lists, a gallery, jobs, the weather, a blog, and a chat over WebSocket.",
    version="8.0.0",
    responses=errors(503),
    lifespan=lifespan,
    redirect_slashes=False,
)
add_error_handlers(app)
app.add_middleware(BodyLimitMiddleware, max_body_size=MAX_BODY_SIZE)
app.add_middleware(PathMiddleware)
app.add_middleware(CancelledRequestMiddleware)
app.add_middleware(ForceCloseMiddleware)
app.include_router(home_router)
app.include_router(todos_router)
app.include_router(auth_router)
app.include_router(images_router)
app.include_router(gallery_router)
app.include_router(jobs_router)
app.include_router(weather_router)
app.include_router(blog_router)
app.include_router(users_router)
app.include_router(chat_router)
app.include_router(chat_page_router)
