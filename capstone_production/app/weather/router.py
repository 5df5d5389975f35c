"""The operation on the weather."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.weather.cache import LoadingCache
from app.weather.limits import current_request
from app.weather.schemas import City, Weather

router = APIRouter(tags=["weather"])


async def get_weather_cache(request: Request) -> LoadingCache[Weather]:
    """Return the cache that was made when the server started."""
    cache: LoadingCache[Weather] = request.state.weather_cache
    return cache


WeatherCache = Annotated[LoadingCache[Weather], Depends(get_weather_cache)]


@router.get("/weather")
async def read_weather(
    city: City, cache: WeatherCache, request: Request, response: Response
) -> Weather:
    """Return the weather in a city, at most as old as `Cache-Control` allows or marked `STALE`."""
    current_request.set(request)
    cached = await cache.get(city)
    response.headers["X-Cache"] = cached.outcome
    response.headers["Age"] = str(int(cached.age))
    response.headers["Cache-Control"] = f"max-age={int(cached.fresh_for)}"
    return cached.value
