"""Requesting the weather, and the rules for every answer."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import httpx

from course.harness.driver import Api

KEY = f"key-of-the-tests-{secrets.token_hex(8)}"
TTL = 600  # seconds, the default
BRIEF = 2  # seconds

FIELDS = {
    "city",
    "country",
    "temperature",
    "feels_like",
    "humidity",
    "wind_speed",
    "description",
    "observed_at",
    "fetched_at",
}

# The status for each failure mode if there is no stale answer.
BROKEN_CONNECTION = dict.fromkeys(["close", "reset", "close-in-body", "invalid-http"], 502)
SERVER_ERROR = dict.fromkeys(["error-500", "error-502", "error-503"], 502)
REFUSAL = dict.fromkeys(["bad-request", "rejected-key", "forbidden", "gone", "redirect"], 502)
NONSENSE = dict.fromkeys(
    [
        "html",
        "truncated",
        "empty",
        "null",
        "list",
        "not-utf-8",
        "deep",
        "wrong-types",
        "nulls",
        "nan",
        "infinity",
        "missing-fields",
        "huge",
        "gzip-bomb",
    ],
    502,
)
QUICK = BROKEN_CONNECTION | SERVER_ERROR | REFUSAL | NONSENSE
BUSY = {"rate-limit": 503}  # affects all cities, so tests use it only on their own server
SLOW = {"hang": 504, "drip": 504, "slow": 504}
PATIENCE = 3  # seconds: the timeout of some servers in these tests
TOO_SLOW = 15.0  # seconds that the `slow` mode waits; no client should wait for so long

ENDPOINTS = {"Open-Meteo": ("search", "forecast"), "OpenWeatherMap": ("weather",)}
EVERY_ENDPOINT = [(provider, name) for provider, names in ENDPOINTS.items() for name in names]


def new_city() -> str:
    """Return a new city name, as the fake provider writes it."""
    return f"Springfield {secrets.token_hex(6)}".title()


def ask(api: Api, city: str) -> httpx.Response:
    """Request the weather and return the answer, also when it is an error."""
    return api.request("GET", "/weather", params={"city": city})


def weather_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the weather in an answer, which must be a 200."""
    assert answer.status_code == 200, answer.text
    weather: dict[str, Any] = answer.json()
    assert weather.keys() == FIELDS
    return weather


def outcome(answer: httpx.Response) -> str:
    """Return `HIT`, `MISS` or `STALE`."""
    weather_of(answer)
    return answer.headers["x-cache"]


def age(answer: httpx.Response) -> int:
    """Return the `Age` of the answer in seconds."""
    return int(answer.headers["age"])


def max_age(answer: httpx.Response) -> int:
    """Return the `max-age` of the answer in seconds."""
    directives = [part.strip() for part in answer.headers["cache-control"].lower().split(",")]
    (seconds,) = [part.partition("=")[2] for part in directives if part.startswith("max-age=")]
    return int(seconds)


def moment(text: str) -> datetime:
    """Return a time of the API; it must be in UTC."""
    time = datetime.fromisoformat(text)
    assert time.utcoffset() is not None
    assert str(time.utcoffset()) == "0:00:00"
    return time
