"""The weather providers. Each class turns the format of one service into ours."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar

import httpx
from fastapi import HTTPException
from pydantic import (
    AliasPath,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from app.config import Settings
from app.weather.schemas import Weather
from app.weather.upstream import Answer, UpstreamError, fetch

CYRILLIC = re.compile("[\u0400-\u04ff]")

# https://open-meteo.com/en/docs, "WMO Weather interpretation codes": the last code of each kind
WMO_CODES = {
    0: "clear sky",
    2: "partly cloudy",
    3: "overcast",
    48: "fog",
    57: "drizzle",
    67: "rain",
    77: "snow fall",
    82: "rain showers",
    86: "snow showers",
    99: "thunderstorm",
}

Model = TypeVar("Model", bound=BaseModel)


class CityNotFound(HTTPException):
    """The provider knows no such city: answered with 404."""

    def __init__(self) -> None:
        super().__init__(404, "There is no weather for a city of this name")


class WeatherProvider(Protocol):
    """A service that knows the weather."""

    async def weather_in(self, city: str) -> Weather:
        """Return the weather now; raises `CityNotFound` or an `UpstreamError`."""


# The fields of the answers that we use. An alias gives the place of a field in the JSON.


class OpenWeatherMapAnswer(BaseModel):
    """https://openweathermap.org/current#fields_json."""

    city: str = Field(validation_alias="name")
    country: str | None = Field(default=None, validation_alias=AliasPath("sys", "country"))
    temperature: float = Field(validation_alias=AliasPath("main", "temp"))
    feels_like: float = Field(validation_alias=AliasPath("main", "feels_like"))
    humidity: float = Field(validation_alias=AliasPath("main", "humidity"))
    wind_speed: float = Field(validation_alias=AliasPath("wind", "speed"))
    description: str = Field(validation_alias=AliasPath("weather", 0, "description"))
    observed_at: AwareDatetime = Field(validation_alias="dt")  # seconds since 1970


class Place(BaseModel):
    """Where a city is."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    latitude: float
    longitude: float
    country_code: str | None = None


class Places(BaseModel):
    """The places with the name, the best known first."""

    results: list[Place] = []


def add_gmt(value: Any) -> Any:
    """Add the offset that Open-Meteo leaves out."""
    return f"{value}Z" if isinstance(value, str) else value


class Current(BaseModel):
    """The weather at a place. We ask for these fields by their names."""

    time: Annotated[AwareDatetime, BeforeValidator(add_gmt)]
    temperature_2m: float
    apparent_temperature: float
    relative_humidity_2m: float
    wind_speed_10m: float
    weather_code: int


class Forecast(BaseModel):
    """https://open-meteo.com/en/docs, "JSON Return Object"."""

    current: Current


class OpenWeatherMap:
    """https://openweathermap.org/current (needs a key)."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, api_key: str) -> None:
        self._client = client
        self._url = f"{base_url.rstrip('/')}/data/2.5/weather"
        self._api_key = api_key

    async def weather_in(self, city: str) -> Weather:
        """Return the weather now; raises `CityNotFound` or an `UpstreamError`."""
        params = {"q": city, "units": "metric", "appid": self._api_key}
        answer = await fetch(self._client, self._url, params)
        # Any other 404 means that the base URL is wrong.
        if answer.status == httpx.codes.NOT_FOUND and b"city not found" in answer.body:
            raise CityNotFound
        return _weather(**parse(answer, OpenWeatherMapAnswer).model_dump())


class OpenMeteo:
    """https://open-meteo.com/en/docs (needs no key): it finds the city, then its weather."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, geocoding_url: str) -> None:
        self._client = client
        self._search_url = f"{geocoding_url.rstrip('/')}/v1/search"
        self._forecast_url = f"{base_url.rstrip('/')}/v1/forecast"

    async def weather_in(self, city: str) -> Weather:
        """Return the weather now; raises `CityNotFound` or an `UpstreamError`."""
        # The service searches the names of one language.
        language = "ru" if CYRILLIC.search(city) else "en"
        search = {"name": city, "count": "1", "language": language}
        places = parse(await fetch(self._client, self._search_url, search), Places).results
        if not places:
            raise CityNotFound
        place = places[0]
        forecast = {
            "latitude": str(place.latitude),
            "longitude": str(place.longitude),
            "current": ",".join(name for name in Current.model_fields if name != "time"),
            "wind_speed_unit": "ms",
            "timezone": "GMT",
        }
        now = parse(await fetch(self._client, self._forecast_url, forecast), Forecast).current
        kinds = (kind for last, kind in WMO_CODES.items() if now.weather_code <= last)
        return _weather(
            city=place.name,
            country=place.country_code,
            temperature=now.temperature_2m,
            feels_like=now.apparent_temperature,
            humidity=now.relative_humidity_2m,
            wind_speed=now.wind_speed_10m,
            description=next(kinds, "unknown"),
            observed_at=now.time,
        )


def choose_provider(client: httpx.AsyncClient, settings: Settings) -> WeatherProvider:
    """Return OpenWeatherMap when we have a key for it, else Open-Meteo."""
    if key := settings.openweathermap_api_key.get_secret_value():
        return OpenWeatherMap(client, settings.openweathermap_base_url, key)
    return OpenMeteo(client, settings.open_meteo_base_url, settings.open_meteo_geocoding_base_url)


def parse(answer: Answer, model: type[Model]) -> Model:
    """Return the answer as the model; raises `UpstreamError` when it does not fit."""
    if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise UpstreamError("The weather provider rejects our key")
    if answer.status != httpx.codes.OK:
        raise UpstreamError(f"The weather provider refuses our request: {answer.status}")
    try:
        return model.model_validate_json(answer.body)
    except ValidationError:
        raise _nonsense() from None


def _weather(**values: Any) -> Weather:
    try:
        return Weather(**values, fetched_at=datetime.now(UTC))
    except ValidationError:
        raise _nonsense() from None


def _nonsense() -> UpstreamError:
    return UpstreamError("The weather provider's answer makes no sense")
