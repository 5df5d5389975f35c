"""The weather providers: two services with one task. Each turns its own wire format into ours."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol, TypeVar

import httpx
from fastapi import HTTPException
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.config import Settings
from app.weather.schemas import Weather
from app.weather.upstream import Answer, UpstreamError, fetch

# https://open-meteo.com/en/docs, "WMO Weather interpretation codes"
WMO_CODES = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "depositing rime fog",
    51: "light drizzle",
    53: "moderate drizzle",
    55: "dense drizzle",
    56: "light freezing drizzle",
    57: "dense freezing drizzle",
    61: "slight rain",
    63: "moderate rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "heavy freezing rain",
    71: "slight snow fall",
    73: "moderate snow fall",
    75: "heavy snow fall",
    77: "snow grains",
    80: "slight rain showers",
    81: "moderate rain showers",
    82: "violent rain showers",
    85: "slight snow showers",
    86: "heavy snow showers",
    95: "thunderstorm",
    96: "thunderstorm with slight hail",
    99: "thunderstorm with heavy hail",
}


# By the first word of a letter's name in Unicode
LANGUAGES = {
    "ARABIC": "ar",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "DEVANAGARI": "hi",
    "GREEK": "el",
    "HANGUL": "ko",
    "HEBREW": "he",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "THAI": "th",
}


class CityNotFound(HTTPException):
    """The provider knows no such city: answered with 404."""

    def __init__(self) -> None:
        super().__init__(404, "There is no weather for a city of this name")


class WeatherProvider(Protocol):
    """Somebody who knows the weather."""

    async def weather_in(self, city: str) -> Weather:
        """Return the weather now; raises `CityNotFound` or an `UpstreamError`."""


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
        read = parse(answer, _OpenWeatherMapAnswer)
        return _weather(
            city=read.name,
            country=read.sys.country,
            temperature=read.main.temp,
            feels_like=read.main.feels_like,
            humidity=read.main.humidity,
            wind_speed=read.wind.speed,
            description=read.weather[0].description,
            observed_at=read.dt,
        )


class OpenMeteo:
    """https://open-meteo.com/en/docs (needs no key): first where the city is, then the weather."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, geocoding_url: str) -> None:
        self._client = client
        self._search_url = f"{geocoding_url.rstrip('/')}/v1/search"
        self._forecast_url = f"{base_url.rstrip('/')}/v1/forecast"

    async def weather_in(self, city: str) -> Weather:
        """Return the weather now; raises `CityNotFound` or an `UpstreamError`."""
        search = {"name": city, "count": "1", "language": language_of(city), "format": "json"}
        places = parse(await fetch(self._client, self._search_url, search), _Places).results
        if not places:
            raise CityNotFound
        place = places[0]
        forecast = {
            "latitude": str(place.latitude),
            "longitude": str(place.longitude),
            "current": ",".join(name for name in _Current.model_fields if name != "time"),
            "wind_speed_unit": "ms",
            "timezone": "GMT",
        }
        now = parse(await fetch(self._client, self._forecast_url, forecast), _Forecast).current
        return _weather(
            city=place.name,
            country=place.country_code,
            temperature=now.temperature_2m,
            feels_like=now.apparent_temperature,
            humidity=now.relative_humidity_2m,
            wind_speed=now.wind_speed_10m,
            description=WMO_CODES.get(now.weather_code, "unknown"),
            observed_at=now.time,
        )


def language_of(city: str) -> str:
    """Return the language whose names Open-Meteo is to look through: it takes one.

    The alphabet tells, for the most spoken language of each.
    """
    for character in city:
        alphabet = unicodedata.name(character, "").partition(" ")[0]
        if language := LANGUAGES.get(alphabet):
            return language
    return "en"


def choose_provider(client: httpx.AsyncClient, settings: Settings) -> WeatherProvider:
    """Return OpenWeatherMap when we have a key for it, else Open-Meteo."""
    if key := settings.openweathermap_api_key.get_secret_value():
        return OpenWeatherMap(client, settings.openweathermap_base_url, key)
    return OpenMeteo(client, settings.open_meteo_base_url, settings.open_meteo_geocoding_base_url)


# Of the providers' answers, only what we use.


def _in_gmt(value: Any) -> Any:
    """Add the offset that Open-Meteo leaves out."""
    return f"{value}Z" if isinstance(value, str) else value


class _Main(BaseModel):
    temp: float
    feels_like: float
    humidity: float


class _Wind(BaseModel):
    speed: float


class _Condition(BaseModel):
    description: str


class _Sys(BaseModel):
    country: str | None = None


class _OpenWeatherMapAnswer(BaseModel):
    name: str
    dt: AwareDatetime  # seconds since 1970
    main: _Main
    wind: _Wind
    sys: _Sys
    weather: list[_Condition] = Field(min_length=1)


class _Place(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    latitude: float
    longitude: float
    country_code: str | None = None


class _Places(BaseModel):
    results: list[_Place] = []


class _Current(BaseModel):
    time: Annotated[AwareDatetime, BeforeValidator(_in_gmt)]
    temperature_2m: float
    apparent_temperature: float
    relative_humidity_2m: float
    wind_speed_10m: float
    weather_code: int


class _Forecast(BaseModel):
    current: _Current


Model = TypeVar("Model", bound=BaseModel)


def parse(answer: Answer, model: type[Model]) -> Model:
    """Return the answer as the model; raises `UpstreamError` when it is another kind of answer."""
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
