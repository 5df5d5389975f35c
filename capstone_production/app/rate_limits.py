"""Limits for each client address: on guessing passwords, and on looking up cities.

`RATE_LIMIT_AUTH` counts per client address and user name, so an attacker cannot lock out another
user. A second limit, ten times as high, counts all attempts of one address. `RATE_LIMIT_WEATHER`
counts per address; answers from the cache, here or in Redis, do not count.

Attempts are counted in fixed windows, so around the end of a window twice as many may pass. All
processes count together in Redis. When it does not answer, each process counts alone, in memory,
and `rate_limit_failures_total` increases. These limits do not stop many addresses that guess the
password of one user.
"""

import asyncio
import hashlib
import math
import time
from contextvars import ContextVar
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from fastapi import HTTPException, Request
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from prometheus_client import Counter
from redis.asyncio import Redis

from app.config import Settings
from app.redis_client import ANSWERS_WITHIN, REDIS_ERRORS

ADDRESS_FACTOR = 10  # one address may be an office or a school with many users
MAX_IN_MEMORY = 10_000  # counts; each is kept for one window

REFUSALS = Counter("rate_limit_refusals", "Requests that were refused.", ["limit"])
FAILURES = Counter("rate_limit_failures", "Attempts that Redis could not count.")

# The request that started a lookup. The lookup runs in a separate task, with a copy of the context
# of that request.
current_request: ContextVar[Request] = ContextVar("current_request")


class Count(NamedTuple):
    """The events that are counted together, and their limit."""

    name: str
    limit: RateLimitItem
    key: str


class Refusal(NamedTuple):
    """The exceeded limit, and the seconds until the next attempt."""

    limit: str
    wait: int


class RateLimits:
    """Counts in Redis, and in memory while Redis does not answer."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        self._memory = MemoryStorage()
        self._limiters = [FixedWindowRateLimiter(self._memory)]
        if redis is not None:
            options: dict[str, Any] = {"connection_pool": redis.connection_pool}
            url = f"async+{settings.redis_url}"
            storage = RedisStorage(url, implementation="redispy", **options)
            self._limiters.insert(0, FixedWindowRateLimiter(storage))

    async def count(self, attempt: list[Count], what: str) -> None:
        """Add one to each count; raises a 429 when there were too many of `what`."""
        if len(self._memory.expirations) >= MAX_IN_MEMORY:
            FAILURES.inc()
            await self._memory.reset()
        for limiter in self._limiters:
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    refusal = await add(attempt, limiter)
            except REDIS_ERRORS:
                FAILURES.inc()
                continue
            if refusal:
                REFUSALS.labels(refusal.limit).inc()
                detail = f"Too many {what}: try again in {refusal.wait} s"
                raise HTTPException(429, detail, {"Retry-After": str(refusal.wait)})
            return


class AuthLimits(RateLimits):
    """Counts the attempts of each client."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        super().__init__(settings, redis)
        self._per_name: RateLimitItem | None = None
        if settings.rate_limit_auth:
            self._per_name = limit = parse(settings.rate_limit_auth)
            self._per_address = type(limit)(limit.amount * ADDRESS_FACTOR, limit.multiples)

    async def check(self, action: str, address: str, username: str | None = None) -> None:
        """Count an attempt; raises a 429 when there were too many."""
        if self._per_name is None:
            return
        attempt = [Count(f"{action}_address", self._per_address, address)]
        if username is not None:
            attempt.append(Count(action, self._per_name, f"{address} {username.lower()}"))
        await self.count(attempt, "attempts")


class LookupLimits(RateLimits):
    """Counts the lookups of each client."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        super().__init__(settings, redis)
        rate = settings.rate_limit_weather
        self._per_address: RateLimitItem | None = parse(rate) if rate else None

    async def check(self) -> None:
        """Count a lookup for the current request; raises a 429 when there were too many."""
        if self._per_address is not None:
            address = client_network(current_request.get())
            await self.count([Count("weather", self._per_address, address)], "lookups")


async def add(attempt: list[Count], limiter: FixedWindowRateLimiter) -> Refusal | None:
    """Add one to each count; return the first exceeded limit, or None."""
    for name, limit, counted in attempt:
        # A hash is short for any input, and keeps names out of Redis. Users may type a password
        # as the name.
        key = f"{name}:{hashlib.sha256(counted.encode()).hexdigest()}"
        if not await limiter.hit(limit, key):
            window = await limiter.get_window_stats(limit, key)
            return Refusal(name, max(1, math.ceil(window.reset_time - time.time())))
    return None


def client_network(request: Request) -> str:
    """Return the client's address; for IPv6 the /64, the smallest network of one customer.

    Behind a proxy FORWARDED_ALLOW_IPS must name its address, or all clients have one address.
    """
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a socket without addresses, or a text from a trusted proxy
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        network = IPv4Network(mapped) if mapped else IPv6Network((int(address), 64), strict=False)
        return str(network.network_address)
    return host
