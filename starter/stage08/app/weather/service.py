"""How the weather is cached."""

import time

from app.config import Settings
from app.weather.cache import LoadingCache
from app.weather.providers import CityNotFound, WeatherProvider
from app.weather.schemas import Weather
from app.weather.upstream import deadline

MAX_CITIES = 10_000
STALE_FOR = 24 * 60 * 60  # seconds that an old answer is kept for when the provider fails
REMEMBER_NOT_FOUND_FOR = 60  # seconds


def create_weather_cache(provider: WeatherProvider, settings: Settings) -> LoadingCache[Weather]:
    """Return a cache, by the names of cities, of what the provider says."""

    async def load(city: str) -> Weather:
        async with deadline(settings.weather_timeout):
            return await provider.weather_in(city)

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
    )
