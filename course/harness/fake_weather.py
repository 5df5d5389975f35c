"""A weather provider on this machine: no internet, no key, and it fails in every way you ask for.

    python -m course.harness.fake_weather [--port 8090]

It answers like two real providers, at the same paths and in the same form:

    GET /data/2.5/weather?q=London&units=metric&appid=…       https://openweathermap.org/current
    GET /v1/search?name=London                                https://open-meteo.com/en/docs/geocoding-api
    GET /v1/forecast?latitude=51.5&longitude=-0.1&current=…   https://open-meteo.com/en/docs

The weather is invented. It depends on the place and the clock, so it changes slowly, and two
requests at the same moment get the same answer. Every API key is valid except `bad-key`. It knows
the cities of `CITIES` by their names in some languages, and every Springfield: `Springfield 1`,
`Springfield of the north`, …

How to make it fail:

    curl -d mode=hang http://127.0.0.1:8090/__control__/mode                    until it is changed
    curl -d mode=error-500 -d times=1 -d endpoint=forecast …/__control__/mode   the next one only
    curl -d mode=rate-limit -d retry_after=30 -d city=London …/__control__/mode
    curl -d mode=ok …/__control__/mode                                          all is well again
    curl …/__control__                     the modes, what is set, the requests that came, by city
    curl -X POST …/__control__/reset       forget all of it

`endpoint` is weather, search or forecast, and `city` the English name; the default is all of them.
`seconds` is how long `slow` waits, and `retry_after` is the header of an error. The last setting
counts; `ok` removes the settings of the same endpoint and city (or of all).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import select
import socket
import struct
import sys
import threading
import time
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from course.catalog.command import run
from course.catalog.stages import CourseError

BAD_KEY = "bad-key"
CONTROL = "/__control__"
ELSEWHERE = "/elsewhere"
SPRINGFIELD = "Springfield"
HUGE = 10 * 1024 * 1024  # bytes
BOMB = 256 * 1024 * 1024  # bytes, unpacked
DRIP = 1.0  # seconds between two bytes
SLOW = 3.0  # seconds by default
_LONGEST_CONTROL_BODY = 64 * 1024

Query = Mapping[str, str]


# --- The places


@dataclass(frozen=True)
class City:
    """A place; `names` are its other names by language. A place at sea has no country."""

    name: str
    country: str | None
    latitude: float
    longitude: float
    timezone: str
    names: Mapping[str, str] = field(default_factory=dict, hash=False)

    def called(self, language: str) -> str:
        """Return the name in a language, or the English one."""
        return self.names.get(language, self.name)


CITIES = (
    City("London", "GB", 51.50853, -0.12574, "Europe/London", {"fr": "Londres", "ru": "Лондон"}),
    City("Moscow", "RU", 55.75222, 37.61556, "Europe/Moscow", {"ru": "Москва", "de": "Moskau"}),
    City("São Paulo", "BR", -23.5475, -46.63611, "America/Sao_Paulo", {"es": "Sao Paulo"}),
    City(
        "Tokyo", "JP", 35.6895, 139.69171, "Asia/Tokyo", {"ja": "東京", "zh": "东京", "ru": "Токио"}
    ),
    City("Cairo", "EG", 30.06263, 31.24967, "Africa/Cairo", {"ar": "القاهرة"}),
    City("Athens", "GR", 37.98376, 23.72784, "Europe/Athens", {"el": "Αθήνα"}),
    City("Rhodes", "GR", 36.44083, 28.2225, "Europe/Athens", {"el": "Ρόδος"}),
    City("Delhi", "IN", 28.65195, 77.23149, "Asia/Kolkata", {"hi": "दिल्ली"}),
    City("Beijing", "CN", 39.9075, 116.39723, "Asia/Shanghai", {"zh": "北京"}),
    City("Seoul", "KR", 37.566, 126.9784, "Asia/Seoul", {"ko": "서울"}),
    City("Istanbul", "TR", 41.01384, 28.94966, "Europe/Istanbul", {"tr": "İstanbul"}),
    City("Giessen", "DE", 50.58727, 8.67554, "Europe/Berlin", {"de": "Gießen"}),
    City("Reykjavik", "IS", 64.13548, -21.89541, "Atlantic/Reykjavik", {"is": "Reykjavík"}),
    City("New York", "US", 40.71427, -74.00597, "America/New_York", {"ru": "Нью-Йорк"}),
    City("Kiritimati", "KI", 1.87, -157.43, "Pacific/Kiritimati"),
    City("Point Nemo", None, -48.87667, -123.39333, "Etc/GMT+8"),
)


def _spelling(name: str) -> str:
    """Return a name in the form that both providers compare: without case, accents and spaces."""
    letters = unicodedata.normalize("NFD", name)
    return " ".join("".join(c for c in letters if not unicodedata.combining(c)).lower().split())


def find_city(name: str, language: str | None = None) -> City | None:
    """Return the city with this name in English or in the language (None: in any language)."""
    spelling = _spelling(name)
    if spelling.startswith(SPRINGFIELD.lower() + " "):
        number = zlib.crc32(spelling.encode())
        latitude = round(number % 120_000 / 1000 - 60, 3)
        longitude = round(number // 120_000 * 0.01 - 180, 3)
        return City(spelling.title(), "US", latitude, longitude, "America/Chicago")
    return next((city for city in CITIES if spelling in _spellings(city, language)), None)


def _spellings(city: City, language: str | None) -> list[str]:
    names = [name for spoken, name in city.names.items() if language in (None, spoken)]
    return [_spelling(name) for name in (city.name, *names)]


# --- The weather


def _wave(at: float, period: float, phase: float) -> float:
    return math.sin(2 * math.pi * (at / period + phase))


@dataclass(frozen=True)
class Sky:
    """The weather at a place and a time, in °C, %, m/s and hPa."""

    temperature: float
    feels_like: float
    humidity: int
    wind_speed: float
    wind_direction: int
    pressure: float
    clouds: int

    @classmethod
    def over(cls, latitude: float, longitude: float, at: float) -> Sky:
        """Return the weather; `at` is in seconds since 1970. Equal arguments give equal weather."""
        phase = (latitude * 7 + longitude) / 360
        temperature = 27 - abs(latitude) * 0.45 + 6 * _wave(at, 86_400, phase)
        temperature += 1.5 * _wave(at, 600, phase * 3)
        wind_speed = 5 + 4 * _wave(at, 7_200, phase)
        return cls(
            temperature=round(temperature, 1),
            feels_like=round(temperature - wind_speed / 4, 1),
            humidity=round(65 + 30 * _wave(at, 10_800, phase)),
            wind_speed=round(wind_speed, 2),
            wind_direction=round(180 + 179 * _wave(at, 14_400, phase)),
            pressure=round(1013 + 15 * _wave(at, 200_000, phase), 1),
            clouds=round(50 + 50 * _wave(at, 5_400, phase)),
        )


# --- The two providers


@dataclass(frozen=True)
class Answer:
    """The provider's normal answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json; charset=utf-8"),)

    @property
    def content(self) -> Any:
        """The JSON in it."""
        return json.loads(self.body)


def as_json(status: int, content: object) -> Answer:
    """Return an answer that holds JSON."""
    return Answer(status, json.dumps(content, ensure_ascii=False).encode())


class Refused(Exception):
    """The provider answers with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _openweathermap_error(status: int, message: str = "Internal server error") -> Answer:
    # OpenWeatherMap sends `cod` as a number in some errors and as text in others.
    cod = status if status in (401, 403, 429) else str(status)
    return as_json(status, {"cod": cod, "message": message})


def _asked_weather_of(query: Query) -> str:
    city = find_city(query.get("q", "").partition(",")[0])
    return city.name if city else query.get("q", "")


def answer_weather(query: Query, now: float) -> Answer:
    """Answer like OpenWeatherMap's `/data/2.5/weather`."""
    if query.get("appid", BAD_KEY) in ("", BAD_KEY):
        text = "Invalid API key. Please see https://openweathermap.org/faq#error401 for more info."
        raise Refused(_openweathermap_error(401, text))
    if not query.get("q", "").strip():
        raise Refused(_openweathermap_error(400, "Nothing to geocode"))
    name, _, country = query["q"].partition(",")  # London, or London,GB
    city = find_city(name)
    if city is None or country.strip().upper() not in ("", city.country):
        raise Refused(_openweathermap_error(404, "city not found"))
    sky = Sky.over(city.latitude, city.longitude, now)
    units = query.get("units", "standard")

    def degrees(celsius: float) -> float:
        if units == "imperial":
            return round(celsius * 9 / 5 + 32, 2)
        return celsius if units == "metric" else round(celsius + 273.15, 2)

    kind = next(kind for kind in _CONDITIONS if sky.clouds <= kind[0])
    content = {
        "coord": {"lon": round(city.longitude, 4), "lat": round(city.latitude, 4)},
        "weather": [{"id": kind[1], "main": kind[2], "description": kind[3], "icon": kind[4]}],
        "base": "stations",
        "main": {
            "temp": degrees(sky.temperature),
            "feels_like": degrees(sky.feels_like),
            "temp_min": degrees(sky.temperature - 1),
            "temp_max": degrees(sky.temperature + 1),
            "pressure": round(sky.pressure),
            "humidity": sky.humidity,
        },
        "visibility": 10_000,
        "wind": {
            "speed": sky.wind_speed if units != "imperial" else round(sky.wind_speed * 2.237, 2),
            "deg": sky.wind_direction,
        },
        "clouds": {"all": sky.clouds},
        "dt": int(now // 600 * 600),
        "sys": {
            **({"country": city.country} if city.country else {}),
            "sunrise": int(now // 86_400 * 86_400 + 6 * 3_600),
            "sunset": int(now // 86_400 * 86_400 + 18 * 3_600),
        },
        "timezone": _offset(city.timezone, now),
        "id": _id_of(city),
        "name": city.called(query.get("lang", "en")),
        "cod": 200,
    }
    return as_json(200, content)


# Descriptions by the highest cloud cover in percent: https://openweathermap.org/weather-conditions
_CONDITIONS = (
    (10, 800, "Clear", "clear sky", "01d"),
    (25, 801, "Clouds", "few clouds", "02d"),
    (50, 802, "Clouds", "scattered clouds", "03d"),
    (84, 803, "Clouds", "broken clouds", "04d"),
    (100, 804, "Clouds", "overcast clouds", "04d"),
)


def _open_meteo_error(status: int, reason: str = "Internal Server Error") -> Answer:
    return as_json(status, {"error": True, "reason": reason})


def _asked_search_of(query: Query) -> str:
    city = find_city(query.get("name", "").partition(",")[0])
    return city.name if city else query.get("name", "")


def answer_search(query: Query, _now: float) -> Answer:
    """Answer like Open-Meteo's `/v1/search`: without `results` if it finds nothing."""
    if "name" not in query:
        raise Refused(_open_meteo_error(400, "No value found at path 'name'."))
    count = query.get("count", "10")
    if not (count.isascii() and count.isdigit() and 1 <= int(count[:4]) <= 100):
        raise Refused(_open_meteo_error(400, "Parameter count must be between 1 and 100."))
    language = query.get("language", "en")
    found = list(_search(query["name"], language))[: int(count)]
    _found.update({_near(city.latitude, city.longitude): city.name for city in found})
    results = [_place(city, language) for city in found]
    return as_json(200, ({"results": results} if results else {}) | {"generationtime_ms": 0.5})


def _search(name: str, language: str) -> Iterator[City]:
    # One character finds nothing, two find exact names, and more also find names that begin with
    # the text. Names match in the main language and in one more.
    spelling = _spelling(name.partition(",")[0])
    if len(spelling) > 1 and (exact := find_city(spelling, language)):
        yield exact
    elif len(spelling) > 2:
        for city in CITIES:
            if any(known.startswith(spelling) for known in _spellings(city, language)):
                yield city


def _place(city: City, language: str) -> dict[str, object]:
    place = {
        "id": _id_of(city),
        "name": city.called(language),
        "latitude": round(city.latitude, 5),
        "longitude": round(city.longitude, 5),
        "elevation": 25.0,
        "feature_code": "PPLC" if city.country else "OCN",
        "timezone": city.timezone,
    }
    # Unknown values are left out.
    return place | ({"country_code": city.country} if city.country else {})


# A forecast has only coordinates; the search before it tells the city.
_found: dict[tuple[float, float], str] = {}


def _asked_forecast_of(query: Query) -> str:
    try:
        latitude, longitude = float(query["latitude"]), float(query["longitude"])
    except (KeyError, ValueError):
        return ""
    return _found.get(_near(latitude, longitude), f"{latitude}, {longitude}")


def _near(latitude: float, longitude: float) -> tuple[float, float]:
    return round(latitude, 2), round(longitude, 2)


# https://open-meteo.com/en/docs, "Hourly weather variables": the supported ones with their units.
_VARIABLES: dict[str, tuple[str, Callable[[Sky], float]]] = {
    "temperature_2m": ("°C", lambda sky: sky.temperature),
    "apparent_temperature": ("°C", lambda sky: sky.feels_like),
    "relative_humidity_2m": ("%", lambda sky: sky.humidity),
    "wind_speed_10m": ("km/h", lambda sky: sky.wind_speed),
    "wind_direction_10m": ("°", lambda sky: sky.wind_direction),
    "pressure_msl": ("hPa", lambda sky: sky.pressure),
    "cloud_cover": ("%", lambda sky: sky.clouds),
    "weather_code": ("wmo code", lambda sky: min(3, sky.clouds // 25)),
}
_SPEEDS = {"kmh": ("km/h", 3.6), "ms": ("m/s", 1.0), "mph": ("mp/h", 2.237), "kn": ("kn", 1.944)}


def answer_forecast(query: Query, now: float) -> Answer:
    """Answer like Open-Meteo's `/v1/forecast`; only `current` is supported."""
    latitude, longitude = _coordinate(query, "latitude", 90), _coordinate(query, "longitude", 180)
    variables = [name for name in query.get("current", "").split(",") if name]
    speed = query.get("wind_speed_unit", "kmh")
    if unknown := [name for name in variables if name not in _VARIABLES]:
        raise Refused(_not_initialized("WeatherVariable", unknown[0], "current"))
    if speed not in _SPEEDS:
        raise Refused(_not_initialized("WindspeedUnit", speed, "wind_speed_unit"))
    zone_name = query.get("timezone", "GMT")
    try:
        offset = _offset("GMT" if zone_name == "auto" else zone_name, now)
    except (OSError, ValueError, LookupError):
        raise Refused(_open_meteo_error(400, "Invalid timezone")) from None
    content: dict[str, object] = {
        "latitude": round(latitude * 16) / 16,
        "longitude": round(longitude * 16) / 16,
        "generationtime_ms": 0.05,
        "utc_offset_seconds": offset,
        "timezone": zone_name,
        "timezone_abbreviation": "GMT",
        "elevation": 25.0,
    }
    if variables:
        sky, measured = Sky.over(latitude, longitude, now), now // 900 * 900
        current: dict[str, object] = {"time": _local_time(measured + offset), "interval": 900}
        units = {"time": "iso8601", "interval": "seconds"}
        if query.get("timeformat") == "unixtime":
            current["time"], units["time"] = int(measured), "unixtime"
        for name in variables:
            units[name], value_of = _VARIABLES[name]
            current[name] = value_of(sky)
            if name == "wind_speed_10m":
                units[name], factor = _SPEEDS[speed]
                current[name] = round(sky.wind_speed * factor, 2)
        content |= {"current_units": units, "current": current}
    return as_json(200, content)


def _not_initialized(kind: str, value: str, key: str) -> Answer:
    reason = f"Cannot initialize {kind} from invalid String value {value} for key {key}"
    return _open_meteo_error(400, reason)


def _coordinate(query: Query, name: str, limit: int) -> float:
    try:
        value = float(query[name])
    except KeyError:
        reason = "Parameter 'latitude' and 'longitude' must have the same number of elements"
        raise Refused(_open_meteo_error(400, reason)) from None
    except ValueError:
        raise Refused(_not_initialized("Float", query[name], name)) from None
    if not -limit <= value <= limit:
        reason = f"{name.title()} must be in range of -{limit} to {limit}°. Given: {value}."
        raise Refused(_open_meteo_error(400, reason))
    return value


def _local_time(seconds: float) -> str:
    """Return the time in Open-Meteo's form: to the minute, and without an offset."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M")


def _offset(timezone: str, now: float) -> int:
    """Return how many seconds a time zone is ahead of UTC."""
    if timezone in ("GMT", "UTC"):
        return 0
    offset = datetime.fromtimestamp(now, ZoneInfo(timezone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _id_of(city: City) -> int:
    return zlib.crc32(city.name.encode()) % 10_000_000


@dataclass(frozen=True)
class Endpoint:
    """An operation: `city_of` names the city for the counters, `error` formats an error."""

    name: str
    answer: Callable[[Query, float], Answer]
    city_of: Callable[[Query], str]
    error: Callable[[int, str], Answer]
    not_found: Answer


ENDPOINTS = {
    "/data/2.5/weather": Endpoint(
        "weather",
        answer_weather,
        _asked_weather_of,
        _openweathermap_error,
        _openweathermap_error(404, "city not found"),
    ),
    "/v1/search": Endpoint(
        "search",
        answer_search,
        _asked_search_of,
        _open_meteo_error,
        as_json(200, {"generationtime_ms": 0.5}),
    ),
    "/v1/forecast": Endpoint(
        "forecast",
        answer_forecast,
        _asked_forecast_of,
        _open_meteo_error,
        _open_meteo_error(404, "Not Found"),
    ),
}


# --- Faults: first wrong answers, then missing answers


@dataclass(frozen=True)
class Fault:
    """A fault that was set at the control page."""

    mode: str
    endpoint: str | None = None
    city: str | None = None
    times: int | None = None
    seconds: float = SLOW
    retry_after: str | None = None

    def concerns(self, endpoint: str, city: str) -> bool:
        """Return whether a request for this city at this endpoint gets the fault."""
        return self.endpoint in (None, endpoint) and self.city in (None, city)


def _with_status(status: int, text: str) -> Callable[[Endpoint, Answer, Fault], Answer]:
    def answer_error(endpoint: Endpoint, _answer: Answer, fault: Fault) -> Answer:
        answer = endpoint.error(status, text)
        if fault.retry_after is None:
            return answer
        return replace(answer, headers=(*answer.headers, ("Retry-After", fault.retry_after)))

    return answer_error


def _with_body(body: bytes) -> Callable[[Endpoint, Answer, Fault], Answer]:
    return lambda _endpoint, answer, _fault: replace(answer, body=body)


def _html(_endpoint: Endpoint, _answer: Answer, _fault: Fault) -> Answer:
    page = b"<!doctype html><title>Maintenance</title><h1>We will be back soon</h1>"
    return Answer(200, page, (("Content-Type", "text/html; charset=utf-8"),))


def _redirect(_endpoint: Endpoint, answer: Answer, _fault: Fault) -> Answer:
    """Return a redirect to another host; a client that follows it sends its key there."""
    address = f"{ELSEWHERE}?{urlencode({'answer': answer.body})}"
    return Answer(302, b"", (("Location", address),))


def _truncated(_endpoint: Endpoint, answer: Answer, _fault: Fault) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])


def _rewritten(change: Callable[[Any], Any]) -> Callable[[Endpoint, Answer, Fault], Answer]:
    """Return a function that replaces every number and text of an answer."""

    def rewrite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rewrite(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rewrite(inner) for inner in value]
        return change(value)

    return lambda _endpoint, answer, _fault: as_json(answer.status, rewrite(answer.content))


def _missing_fields(_endpoint: Endpoint, answer: Answer, _fault: Fault) -> Answer:
    content = answer.content
    if "results" in content:
        content["results"] = [{"id": place["id"]} for place in content["results"]]
    for part in ("main", "wind", "current"):
        if part in content:
            content[part].popitem()
    return as_json(answer.status, content)


def _huge(_endpoint: Endpoint, answer: Answer, _fault: Fault) -> Answer:
    return replace(answer, body=answer.body[:-1] + b" " * HUGE + b"}")


def _gzip_bomb(_endpoint: Endpoint, answer: Answer, _fault: Fault) -> Answer:
    """Return a kilobyte or two that unpack, twice, to `BOMB` bytes."""
    encoding = ("Content-Encoding", "gzip, gzip")
    return replace(answer, body=_bomb(), headers=(*answer.headers, encoding))


@cache
def _bomb() -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    piece = b" " * (1024 * 1024)
    packed = [packer.compress(piece) for _ in range(BOMB // len(piece))]
    return gzip.compress(b"".join([*packed, packer.flush()]))


OTHER_ANSWERS: dict[str, Callable[[Endpoint, Answer, Fault], Answer]] = {
    "not-found": lambda endpoint, _answer, _fault: endpoint.not_found,
    "bad-request": _with_status(400, "Bad request"),
    "rejected-key": _with_status(401, "Invalid API key."),
    "forbidden": _with_status(403, "Your subscription does not include this."),
    "gone": _with_status(410, "This version of the API is gone."),
    "rate-limit": _with_status(
        429, "Too many requests: the limit of your subscription is exceeded."
    ),
    "error-500": _with_status(500, "Internal server error"),
    "error-502": _with_status(502, "Bad gateway"),
    "error-503": _with_status(503, "Service unavailable"),
    "html": _html,
    "redirect": _redirect,
    "truncated": _truncated,
    "empty": _with_body(b""),
    "null": _with_body(b"null"),
    "list": _with_body(b"[]"),
    "not-utf-8": _with_body(b'{"name": "S\xe3o Paulo"}'),
    "deep": _with_body(b"[" * 100_000),
    "wrong-types": _rewritten(lambda value: {"is": value}),
    "nulls": _rewritten(lambda _value: None),
    "nan": _rewritten(lambda value: math.nan if isinstance(value, float) else value),
    "infinity": _rewritten(lambda value: math.inf if isinstance(value, float) else value),
    "missing-fields": _missing_fields,
    "huge": _huge,
    "gzip-bomb": _gzip_bomb,
}

NO_ANSWERS = {
    "close": "close the connection without an answer",
    "reset": "reset the connection",
    "close-in-body": "close the connection in the middle of the body",
    "hang": "never answer",
    "drip": "send the body one byte a second",
    "slow": "answer after `seconds`",
    "invalid-http": "send something that is not HTTP",
}

MODES = ("ok", *OTHER_ANSWERS, *NO_ANSWERS)


class Control:
    """The faults that are set, and the counts; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._requests: Counter[tuple[str, str]] = Counter()
        self._resets = 0

    @property
    def resets(self) -> int:
        """The number of resets: a hanging request ends when it changes."""
        return self._resets

    def reset(self) -> None:
        """Delete all faults and counts, and end hanging requests."""
        with self._lock:
            self._faults.clear()
            self._requests.clear()
            self._resets += 1

    def set(self, fault: Fault) -> None:
        """Set a fault; `ok` removes earlier ones."""
        with self._lock:
            if fault.mode == "ok":
                self._faults = [
                    kept
                    for kept in self._faults
                    if fault.endpoint not in (None, kept.endpoint)
                    or fault.city not in (None, kept.city)
                ]
            else:
                self._faults.append(fault)

    def note(self, endpoint: str, city: str) -> Fault | None:
        """Count a request and return its fault."""
        with self._lock:
            self._requests[endpoint, city] += 1
            for index in reversed(range(len(self._faults))):
                fault = self._faults[index]
                if fault.concerns(endpoint, city):
                    if fault.times is not None:
                        left = fault.times - 1
                        self._faults[index : index + 1] = [replace(fault, times=left)] * (left > 0)
                    return fault
            return None

    def report(self) -> dict[str, object]:
        """Return everything for the control page."""
        with self._lock:
            return {
                "modes": list(MODES),
                "faults": [vars(fault) for fault in self._faults],
                "requests": [
                    {"endpoint": endpoint, "city": city, "count": count}
                    for (endpoint, city), count in self._requests.items()
                ],
            }


def read_fault(fields: Query) -> Fault:
    """Return the fault of a form; raise `ValueError` for a wrong form."""
    known = {"mode", "endpoint", "city", "times", "seconds", "retry_after"}
    if unknown := fields.keys() - known:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; there is {', '.join(known)}")
    mode, endpoint = fields.get("mode", ""), fields.get("endpoint") or None
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}")
    names = [known_endpoint.name for known_endpoint in ENDPOINTS.values()]
    if endpoint not in (None, *names):
        raise ValueError(f"endpoint is one of {', '.join(names)}")
    return Fault(
        mode,
        endpoint,
        fields.get("city") or None,
        int(fields["times"]) if "times" in fields else None,
        float(fields.get("seconds", SLOW)),
        fields.get("retry_after"),
    )


# --- The server


class FakeWeatherServer(ThreadingHTTPServer):
    """Both providers and the control page at one address."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Conversation)
        self.control = Control()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a client that disconnected; other errors are faults of this file."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Conversation(BaseHTTPRequestHandler):
    """A connection with any number of requests."""

    protocol_version = "HTTP/1.1"
    server_version = "FakeWeather"
    server: FakeWeatherServer

    def do_GET(self) -> None:
        """Answer as the provider with this path, or show the control page."""
        # Not `self.path`, since http.server shortens "//" at its beginning to "/".
        address = urlsplit("http://here" + self.requestline.split()[1])
        if address.path == CONTROL:
            self._send(as_json(200, self.server.control.report()))
            return
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        if address.path == ELSEWHERE:
            self._send(Answer(200, query.get("answer", "").encode()))
            return
        endpoint = ENDPOINTS.get(address.path)
        if endpoint is None:
            self._send(_open_meteo_error(404, "Not Found"))
            return
        city = endpoint.city_of(query)
        fault = self.server.control.note(endpoint.name, city)
        self._say(endpoint.name, city, fault)
        try:
            answer = endpoint.answer(query, time.time())
        except Refused as refused:
            answer = refused.answer
        if fault is None:
            self._send(answer)
        elif fault.mode in OTHER_ANSWERS:
            self._send(OTHER_ANSWERS[fault.mode](endpoint, answer, fault))
        else:
            self._fail(fault, answer)

    def do_POST(self) -> None:
        """Handle a form of the control page."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, _LONGEST_CONTROL_BODY)).decode("utf-8", "replace")
        if self.path == f"{CONTROL}/reset":
            self.server.control.reset()
        elif self.path == f"{CONTROL}/mode":
            try:
                self.server.control.set(read_fault(dict(parse_qsl(body, keep_blank_values=True))))
            except ValueError as error:
                self._send(as_json(422, {"detail": str(error)}))
                return
        else:
            self._send(as_json(404, {"detail": f"There is {CONTROL}/mode and {CONTROL}/reset"}))
            return
        self._send(as_json(200, self.server.control.report()))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing: the address would show the key."""

    def _say(self, endpoint: str, city: str, fault: Fault | None) -> None:
        self.log_message("%s of %r%s", endpoint, city, f": {fault.mode}" if fault else "")

    def _send(self, answer: Answer, *, until: int | None = None) -> None:
        reason = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        lines += [f"Content-Length: {len(answer.body)}", "", ""]
        self.wfile.write("\r\n".join(lines).encode() + answer.body[:until])

    def _fail(self, fault: Fault, answer: Answer) -> None:
        self.close_connection = fault.mode != "slow"
        match fault.mode:
            case "reset":
                # With 0 seconds of lingering, a close becomes a reset.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
            case "close-in-body":
                self._send(answer, until=len(answer.body) // 2)
            case "invalid-http":
                self.wfile.write(b"220 weather.example ESMTP ready\r\n")
            case "hang":
                self._wait(math.inf)
            case "drip":
                self._send(answer, until=0)
                for number in range(len(answer.body)):
                    if not self._wait(DRIP):
                        return
                    self.wfile.write(answer.body[number : number + 1])
            case "slow":
                if self._wait(fault.seconds):
                    self._send(answer)

    def _wait(self, seconds: float) -> bool:
        """Wait; return false as soon as the client disconnects or a reset happens."""
        resets, until = self.server.control.resets, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.2))
            gone = readable and not self.connection.recv(1, socket.MSG_PEEK)
            if gone or self.server.control.resets != resets:
                self.close_connection = True
                return False
            if readable:
                time.sleep(min(left, 0.2))
        return True


WELCOME = """\
A weather provider is at {url}, with the weather of {cities} and every {springfield}.

Tell a stage to ask it, here for bash and zsh, in the terminal in which you start the stage:

  export OPENWEATHERMAP_BASE_URL={url}
  export OPEN_METEO_BASE_URL={url}
  export OPEN_METEO_GEOCODING_BASE_URL={url}

Without a key the stage speaks to it as to Open-Meteo. With one, as to OpenWeatherMap:

  export OPENWEATHERMAP_API_KEY=any-key-but-bad-key

Make it fail, and make it work again:

  curl -d mode=hang {url}{control}/mode
  curl -d mode=ok {url}{control}/mode

More: {url}{control} and the beginning of course/harness/fake_weather.py. Ctrl-C stops it.
"""


def main(arguments: Sequence[str], _root: Path) -> int:
    """Serve until Ctrl-C; raise `CourseError` if the address is not free."""
    parser = argparse.ArgumentParser(
        prog="python -m course.harness.fake_weather",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="default: %(default)s, this machine only"
    )
    parser.add_argument("--port", default=8090, type=int, help="default: %(default)s; 0: any")
    options = parser.parse_args(arguments)
    try:
        server = FakeWeatherServer((options.host, options.port))
    except (OSError, OverflowError) as error:
        raise CourseError(f"cannot listen on {options.host}:{options.port}: {error}") from error
    with server:
        url = f"http://{options.host}:{server.server_address[1]}"
        cities = ", ".join(city.name for city in CITIES)
        print(
            WELCOME.format(url=url, cities=cities, springfield=SPRINGFIELD, control=CONTROL),
            flush=True,
        )
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
