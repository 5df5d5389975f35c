"""The shared pool of connections to Redis. The app also works while Redis is down.

Every call has a short time limit, and every caller has a fallback. Redis holds only data that the
database has too, or that may be lost.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - not the built-in one

from app.config import Settings

ANSWERS_WITHIN = 0.5  # seconds, for connecting, for an answer, and for a free connection

# A call raises one of these when Redis is down or slow, or the pool has no free connection.
REDIS_ERRORS = (RedisError, OSError)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis | None]:
    """Yield the client that all requests share, or None when no Redis is configured.

    It does not connect yet, so the app starts also while Redis is down.
    """
    if not settings.redis_url:
        yield None
        return
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=settings.redis_pool_size,
        timeout=ANSWERS_WITHIN,
        socket_timeout=ANSWERS_WITHIN,
        socket_connect_timeout=ANSWERS_WITHIN,
        health_check_interval=30,
        # One immediate retry, for a connection that a restart of Redis has closed.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    )
    async with Redis(connection_pool=pool) as redis:
        yield redis
    await pool.aclose()
