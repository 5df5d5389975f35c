"""The connection to Redis, which everything that uses it shares, and can do without.

No call waits for longer than a moment: whoever calls has an answer for a Redis that is down, and
counts it. Redis keeps nothing here that the database does not have, or that would be missed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - not the built-in one

from app.config import Settings

ANSWERS_WITHIN = 0.5  # seconds, for connecting, for an answer, and for a free connection

# A call raises one of these when Redis is down, slow, or has no connection left for us.
REDIS_ERRORS = (RedisError, OSError)


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator[Redis | None]:
    """Yield the client that all requests share, or None when no Redis is configured.

    Nothing is connected yet: a Redis that is down does not stop the start.
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
        # One new try, for a connection that a restart of the server broke; none after a wait.
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
    )
    async with Redis(connection_pool=pool) as redis:
        yield redis
    await pool.aclose()
