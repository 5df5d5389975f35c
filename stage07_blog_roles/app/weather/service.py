"""The weather in cities: a cache, and a limit on the calls to the provider."""

import math
import time

from app.config import Settings
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
    """Answers from a cache, and asks the provider about cities that are not in it."""

    def __init__(self, provider: WeatherProvider, settings: Settings) -> None:
        self._provider = provider
        self._timeout = settings.weather_timeout
        self._circuit = CircuitBreaker(
            timeout_pause=settings.weather_timeout_pause, longest_call=settings.weather_timeout
        )
        # Anybody may ask for any name: without a limit one client could use up our quota.
        per_minute = settings.weather_lookups_per_minute
        self._lookups = TokenBucket(rate=per_minute / 60, capacity=per_minute)
        self._cache = LoadingCache(
            self._load,
            # Only the key: the provider gets the name as written, with "ß" and not "ss".
            key=str.casefold,
            ttl=settings.weather_cache_ttl,
            stale_for=STALE_FOR,
            remember=CityNotFound,
            remember_for=REMEMBER_NOT_FOUND_FOR,
            max_entries=MAX_CITIES,
            clock=time.monotonic,
        )

    async def get(self, city: str) -> Cached[Weather]:
        """Return the weather and its age; raises `CityNotFound` or an `UpstreamError`."""
        return await self._cache.get(city)

    async def _load(self, city: str) -> Weather:
        with self._circuit.guarded():
            if wait := self._lookups.take():
                raise TooManyLookups(math.ceil(wait))
            async with deadline(self._timeout):
                return await self._provider.weather_in(city)
