"""A limit on how many cities one client looks up: anybody may ask for any name.

`RATE_LIMIT_WEATHER` holds for a client address, in all processes together, as `RATE_LIMIT_AUTH`
does. Answers from the cache, here or in Redis, do not count.
"""

from contextvars import ContextVar

from fastapi import Request
from limits import RateLimitItem, parse
from redis.asyncio import Redis

from app.auth.rate_limits import Count, RateLimits, client_network
from app.config import Settings

# The request that a lookup is for. A lookup runs in a task of its own, which gets a copy of the
# context of the request that started it.
current_request: ContextVar[Request] = ContextVar("current_request")


class LookupLimits(RateLimits):
    """Counts the lookups of each client."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        super().__init__(settings, redis)
        rate = settings.rate_limit_weather
        self._per_address: RateLimitItem | None = parse(rate) if rate else None

    async def check(self) -> None:
        """Count a lookup for the current request; answers 429 when there were too many."""
        if self._per_address is not None:
            address = client_network(current_request.get())
            await self.count([Count("weather", self._per_address, address)], "lookups")
