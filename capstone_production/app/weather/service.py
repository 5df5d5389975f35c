"""How the weather is cached, and how often the provider is asked."""

import math
import time
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

from app.cache.cache import Cache, Level
from app.config import Settings
from app.token_bucket import TokenBucket
from app.weather.cache import LoadingCache
from app.weather.circuit import CircuitBreaker
from app.weather.limits import LookupLimits
from app.weather.providers import CityNotFound, WeatherProvider
from app.weather.schemas import Weather
from app.weather.upstream import TooManyLookups, deadline

MAX_CITIES = 10_000
STALE_FOR = 24 * 60 * 60  # seconds that an old answer is kept for when the provider fails
REMEMBER_NOT_FOUND_FOR = 60  # seconds


def create_weather_cache(
    provider: WeatherProvider, shared: Cache, limits: LookupLimits, settings: Settings
) -> LoadingCache[Weather]:
    """Return a cache, by the names of cities, of what the provider says.

    All processes share the answers: what one of them asked for, the others find in Redis. Each
    process has a circuit and `WEATHER_LOOKUPS_PER_MINUTE` of its own; a client's lookups are
    counted in all processes together.
    """
    circuit = CircuitBreaker(
        timeout_pause=settings.weather_timeout_pause, longest_call=settings.weather_timeout
    )
    per_minute = settings.weather_lookups_per_minute
    lookups = TokenBucket(rate=per_minute / 60, capacity=per_minute)

    async def ask(city: str) -> bytes:
        with circuit.guarded():
            await limits.check()
            if wait := lookups.take():
                raise TooManyLookups(math.ceil(wait))
            async with deadline(settings.weather_timeout):
                weather = await provider.weather_in(city)
        return weather.model_dump_json().encode()

    async def load(city: str) -> Weather:
        cached = await shared.get(
            "weather",
            quote(city.casefold()),
            partial(ask, city),
            Weather.model_validate_json,
            ttl=max(1, settings.weather_cache_ttl),
            keep_here=False,  # that is what this cache is for
        )
        if cached.level is Level.L2 and age_of(cached.value) >= settings.weather_cache_ttl:
            return Weather.model_validate_json(await ask(city))
        return cached.value

    return LoadingCache(
        load,
        # Not what the provider is asked for: it turns "ß" into "ss", and "ς" into "σ".
        key=str.casefold,
        ttl=settings.weather_cache_ttl,
        stale_for=STALE_FOR,
        remember=CityNotFound,
        remember_for=REMEMBER_NOT_FOUND_FOR,
        max_entries=MAX_CITIES,
        clock=time.monotonic,
        age_of=age_of,
    )


def age_of(weather: Weather) -> float:
    """Return the seconds since we, or another process, asked for it."""
    return max(0.0, (datetime.now(UTC) - weather.fetched_at).total_seconds())
