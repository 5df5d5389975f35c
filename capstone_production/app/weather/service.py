"""The weather in cities: a cache, and a limit on the calls to the provider."""

import math
import time
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

from app.cache.cache import Cache, Level
from app.config import Settings
from app.rate_limits import LookupLimits
from app.token_bucket import TokenBucket
from app.weather.cache import Cached, LoadingCache
from app.weather.circuit import CircuitBreaker
from app.weather.providers import CityNotFound, WeatherProvider
from app.weather.schemas import Weather
from app.weather.upstream import TooManyLookups, deadline

MAX_CITIES = 10_000
STALE_FOR = 24 * 60 * 60  # seconds that an old answer is kept in case the provider fails
REMEMBER_NOT_FOUND_FOR = 60  # seconds


class WeatherService:
    """Answers from a cache, and asks the provider about cities that are not in it.

    All processes share the answers through Redis. Each process has a separate circuit and a
    separate limit `WEATHER_LOOKUPS_PER_MINUTE`. All processes count a client's lookups together.
    """

    def __init__(
        self, provider: WeatherProvider, shared: Cache, limits: LookupLimits, settings: Settings
    ) -> None:
        self._provider = provider
        self._shared = shared
        self._limits = limits
        self._ttl = settings.weather_cache_ttl
        self._timeout = settings.weather_timeout
        self._circuit = CircuitBreaker(
            timeout_pause=settings.weather_timeout_pause, longest_call=settings.weather_timeout
        )
        per_minute = settings.weather_lookups_per_minute
        self._lookups = TokenBucket(rate=per_minute / 60, capacity=per_minute)
        self._cache = LoadingCache(
            self._load,
            # Only the key: the provider gets the name as written, with "ß" and not "ss".
            key=str.casefold,
            ttl=self._ttl,
            stale_for=STALE_FOR,
            remember=CityNotFound,
            remember_for=REMEMBER_NOT_FOUND_FOR,
            max_entries=MAX_CITIES,
            clock=time.monotonic,
            age_of=age_of,
        )

    async def get(self, city: str) -> Cached[Weather]:
        """Return the weather and its age; raises `CityNotFound` or an `UpstreamError`."""
        return await self._cache.get(city)

    async def _load(self, city: str) -> Weather:
        cached = await self._shared.get(
            "weather",
            quote(city.casefold()),
            partial(self._ask, city),
            Weather.model_validate_json,
            ttl=max(1, self._ttl),
            keep_here=False,  # `self._cache` already keeps it in this process
        )
        if cached.level is Level.L2 and age_of(cached.value) >= self._ttl:
            return Weather.model_validate_json(await self._ask(city))
        return cached.value

    async def _ask(self, city: str) -> bytes:
        with self._circuit.guarded():
            await self._limits.check()
            if wait := self._lookups.take():
                raise TooManyLookups(math.ceil(wait))
            async with deadline(self._timeout):
                weather = await self._provider.weather_in(city)
        return weather.model_dump_json().encode()


def age_of(weather: Weather) -> float:
    """Return the seconds since this process, or another one, asked the provider."""
    return max(0.0, (datetime.now(UTC) - weather.fetched_at).total_seconds())
