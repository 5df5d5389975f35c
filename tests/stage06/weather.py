"""Asking for the weather, and what goes for every answer."""

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

# The status that each way to fail leads to, with no older answer at hand.
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
BUSY = {"rate-limit": 503}  # it concerns all cities: only for a server of the test's own
SLOW = {"hang": 504, "drip": 504, "slow": 504}
PATIENCE = 3  # seconds that some servers of these tests wait for the provider
TOO_SLOW = 15.0  # seconds that `slow` waits in these tests: nobody should wait for so long

ENDPOINTS = {"Open-Meteo": ("search", "forecast"), "OpenWeatherMap": ("weather",)}
EVERY_ENDPOINT = [(provider, name) for provider, names in ENDPOINTS.items() for name in names]


def new_city() -> str:
    """Return the name, as the fake writes it, of a city that nobody has asked for yet."""
    return f"Springfield {secrets.token_hex(6)}".title()


def ask(api: Api, city: str) -> httpx.Response:
    """Ask for the weather and return the answer, whatever it is."""
    return api.request("GET", "/weather", params={"city": city})


def weather_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the weather in an answer, which must be one."""
    assert answer.status_code == 200, answer.text
    weather: dict[str, Any] = answer.json()
    assert weather.keys() == FIELDS
    return weather


def outcome(answer: httpx.Response) -> str:
    """Return `HIT`, `MISS` or `STALE`."""
    weather_of(answer)
    return answer.headers["x-cache"]


def age(answer: httpx.Response) -> int:
    """Return the seconds that the answer says it is old."""
    return int(answer.headers["age"])


def max_age(answer: httpx.Response) -> int:
    """Return the seconds that the answer says it stays fresh."""
    directives = [part.strip() for part in answer.headers["cache-control"].lower().split(",")]
    (seconds,) = [part.partition("=")[2] for part in directives if part.startswith("max-age=")]
    return int(seconds)


def moment(text: str) -> datetime:
    """Return a time of the API, which must be in UTC and say so."""
    time = datetime.fromisoformat(text)
    assert time.utcoffset() is not None
    assert str(time.utcoffset()) == "0:00:00"
    return time
