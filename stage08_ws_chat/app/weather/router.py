"""The operation on the weather."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from app.exceptions import errors
from app.weather.schemas import City, Weather
from app.weather.service import WeatherService

router = APIRouter(tags=["weather"])


async def get_weather_service(request: Request) -> WeatherService:
    """Return the service that was made when the server started."""
    service: WeatherService = request.state.weather_service
    return service


WeatherServiceDep = Annotated[WeatherService, Depends(get_weather_service)]


@router.get("/weather", responses=errors(404, 502, 504))
async def read_weather(city: City, service: WeatherServiceDep, response: Response) -> Weather:
    """Return the weather in a city. `X-Cache` is HIT, MISS or STALE, and `Age` is in seconds."""
    cached = await service.get(city)
    response.headers["X-Cache"] = cached.outcome
    response.headers["Age"] = str(int(cached.age))
    response.headers["Cache-Control"] = f"max-age={int(cached.fresh_for)}"
    return cached.value
