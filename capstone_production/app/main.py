"""The application: its title, the objects that live as long as it runs, and its features."""

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.router import router as auth_router
from app.auth.security import PasswordHasher
from app.auth.service import find_highest_cost
from app.auth.tokens import VerifiedTokens
from app.blog.router import router as blog_router
from app.cache.cache import Cache
from app.cache.invalidation import watched as watched_by_cache
from app.chat.access import hide_tokens_in_logs
from app.chat.page import router as chat_page_router
from app.chat.room import Room, open_room
from app.chat.router import router as chat_router
from app.config import Settings, load_settings
from app.database import create_engine
from app.docs.router import router as docs_router
from app.exceptions import add_error_handlers, errors
from app.gallery.router import router as gallery_router
from app.health.router import router as health_router
from app.health.service import DatabaseCheck, MediaCheck, Readiness, RedisCheck
from app.home.router import router as home_router
from app.images.router import router as images_router
from app.images.service import sweep
from app.images.storage import MediaStorage
from app.jobs.gauges import JobGauges
from app.jobs.page import router as jobs_page_router
from app.jobs.queue import CeleryQueue, JobQueue, LocalQueue
from app.jobs.router import router as jobs_router
from app.jobs.streams import JobStreams
from app.logs import set_up_server_logs
from app.metrics import Gauges, expose_metrics
from app.middleware.body_limit import MAX_BODY_SIZE, BodyLimitMiddleware
from app.middleware.browsers import CrossOriginMiddleware, SecurityHeadersMiddleware
from app.middleware.cancelled_requests import CancelledRequestMiddleware
from app.middleware.force_close import ForceCloseMiddleware
from app.middleware.observe import ObserveMiddleware
from app.middleware.paths import PathMiddleware
from app.migrate import prepare_schema
from app.problems import UnexpectedErrorMiddleware, describe_problems
from app.quotas import Quotas
from app.rate_limits import AuthLimits, LookupLimits
from app.redis_client import open_redis
from app.session.router import router as session_router
from app.shutdown import Shutdown
from app.todos.page import router as todos_page_router
from app.todos.router import router as todos_router
from app.users.first_admin import ensure_first_admin
from app.users.router import router as users_router
from app.watchdog import watched_event_loop
from app.weather.providers import choose_provider
from app.weather.router import router as weather_router
from app.weather.service import WeatherService
from app.weather.upstream import open_client
from app.workarounds.startup_errors import StartupErrorMiddleware
from app.workarounds.uvicorn_websockets import log_clients_mistakes_quietly

ABANDONED_AFTER = 600  # after these seconds without a new byte, no server works on an upload


class AppState(TypedDict):
    """The objects that live as long as the server; handlers find them as `request.state`."""

    settings: Settings
    engine: AsyncEngine
    password_hasher: PasswordHasher
    auth_limits: AuthLimits
    media_storage: MediaStorage
    job_queue: JobQueue
    job_streams: JobStreams
    quotas: Quotas
    weather_service: WeatherService
    chat_room: Room
    redis: Redis | None
    cache: Cache
    verified_tokens: VerifiedTokens
    gauges: Gauges
    readiness: Readiness
    shutdown: Shutdown


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[AppState]:
    """Create what all requests share. Code before `yield` runs at start, code after it at stop."""
    settings = load_settings()
    if settings.docs_enabled:
        app.include_router(docs_router)
    else:
        remove_description(app)
    await prepare_schema(settings, upgrade=settings.environment == "development")
    engine = create_engine(settings)
    highest_cost = await find_highest_cost(engine)
    password_hasher = PasswordHasher(settings.bcrypt_rounds, highest_cost=highest_cost)
    await ensure_first_admin(settings, engine, password_hasher)
    media_storage = MediaStorage(settings.media_dir)
    async with AsyncSession(engine) as session:
        alone = engine.dialect.name == "sqlite"
        await sweep(media_storage, session, older_than=0 if alone else ABANDONED_AFTER)
    queue = CeleryQueue(settings.redis_url) if settings.redis_url else LocalQueue(engine, settings)
    # A separate connection: a used-up pool must not look like a failed database.
    monitor = create_engine(settings.as_monitor(), "monitor")
    shutdown = Shutdown(settings.drain_seconds)
    streams = JobStreams(engine, shutdown, limit=settings.max_job_streams_per_user)
    with shutdown.watched():
        async with AsyncExitStack() as stack:
            redis = await stack.enter_async_context(open_redis(settings))
            cache = Cache(settings, redis)
            await stack.enter_async_context(cache.running())
            stack.enter_context(watched_by_cache(cache))
            await stack.enter_async_context(queue.running())
            await stack.enter_async_context(streams.running())
            client = await stack.enter_async_context(open_client(settings))
            chat_room = await stack.enter_async_context(open_room(engine, redis, settings))
            await stack.enter_async_context(watched_event_loop(settings.stuck_after))
            count_jobs = JobGauges(monitor).refresh
            gauges = Gauges(engine, redis, settings.media_dir, count_jobs)
            await stack.enter_async_context(gauges.running())
            gc.freeze()  # these objects stay until the end; a collection of them would take 0.1 s
            yield {
                "settings": settings,
                "engine": engine,
                "password_hasher": password_hasher,
                "auth_limits": AuthLimits(settings, redis),
                "media_storage": media_storage,
                "job_queue": queue,
                "job_streams": streams,
                "quotas": Quotas(settings),
                "weather_service": WeatherService(
                    choose_provider(client, settings),
                    cache,
                    LookupLimits(settings, redis),
                    settings,
                ),
                "chat_room": chat_room,
                "redis": redis,
                "cache": cache,
                "verified_tokens": VerifiedTokens(settings.jwt_secrets()),
                "gauges": gauges,
                "readiness": Readiness(
                    needed={"database": DatabaseCheck(monitor)},
                    useful={"media": MediaCheck(settings.media_dir)}
                    | ({"redis": RedisCheck(redis)} if redis else {}),
                ),
                "shutdown": shutdown,
            }
    await monitor.dispose()
    await engine.dispose()


def remove_description(app: FastAPI) -> None:
    """Make `/openapi.json` answer 404."""
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", None) != app.openapi_url
    ]


set_up_server_logs()
hide_tokens_in_logs()
log_clients_mistakes_quietly()
app = FastAPI(
    title="A small community",
    description="The whole course in one service. Errors are problem documents (RFC 9457).",
    version="9.0.0",
    responses=errors(422, 503, "default"),
    lifespan=lifespan,
    redirect_slashes=False,
    docs_url=None,
    redoc_url=None,
)
add_error_handlers(app)
describe_problems(app)
app.add_middleware(BodyLimitMiddleware, max_body_size=MAX_BODY_SIZE)
app.add_middleware(UnexpectedErrorMiddleware)
app.add_middleware(StartupErrorMiddleware)
app.add_middleware(PathMiddleware)
app.add_middleware(CancelledRequestMiddleware)
app.add_middleware(CrossOriginMiddleware)
app.add_middleware(SecurityHeadersMiddleware)
app.add_middleware(ObserveMiddleware)  # sees the answers of those above
app.add_middleware(ForceCloseMiddleware)  # needs the server's own `send`, so it is the outermost
app.include_router(home_router)
app.include_router(todos_router)
app.include_router(todos_page_router)
app.include_router(auth_router)
app.include_router(session_router)
app.include_router(images_router)
app.include_router(gallery_router)
app.include_router(jobs_router)
app.include_router(jobs_page_router)
app.include_router(weather_router)
app.include_router(blog_router)
app.include_router(users_router)
app.include_router(chat_router)
app.include_router(chat_page_router)
app.include_router(health_router)
expose_metrics(app)
