"""Requirement 6.5: when the server must not ask the provider. Each test has its own server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.problems import reason
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from course.harness.weather import FakeWeather
from tests.stage06.weather import KEY, ask, new_city, outcome

pytestmark = pytest.mark.craft

WAIT = 3  # seconds: the provider's Retry-After, or the pause after a timeout
LONGEST_WAIT = 60 * 60  # seconds: the highest Retry-After that the server accepts
AT_ONCE = 1.0  # seconds; an answer that waits for the provider takes longer
TIMEOUT = 4  # seconds; each part of the provider's answer may take half of it
MANY = 10
LOOKUPS = 6  # a minute: one new lookup every ten seconds

KEYS = {"Open-Meteo": {}, "OpenWeatherMap": {"OPENWEATHERMAP_API_KEY": KEY}}


def retry_after(answer: httpx.Response) -> int:
    """Return the `Retry-After` of an answer in seconds; the answer must also have a reason."""
    assert reason(answer)
    return int(answer.headers["retry-after"])


def make_known(api: Api) -> str:
    """Return a city whose cached answer has expired."""
    city = new_city()
    assert outcome(ask(api, city)) == "MISS"
    time.sleep(1.1)  # WEATHER_CACHE_TTL is 1
    return city


def asked_in(seconds: list[float], api: Api, city: str) -> httpx.Response:
    """Request a city, and append the duration of the request to `seconds`."""
    asked = time.monotonic()
    answer = ask(api, city)
    seconds.append(time.monotonic() - asked)
    return answer


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage
@pytest.mark.parametrize("provider", KEYS)
def test_a_429_stops_calls_for_its_retry_after(
    launch: Launch, fake_weather: FakeWeather, provider: str
) -> None:
    with Api(launch(start=True, WEATHER_CACHE_TTL="1", **KEYS[provider])) as api:
        known, refused = make_known(api), new_city()
        with fake_weather.failing("rate-limit", refused, retry_after=str(WAIT)):
            told = time.monotonic()
            assert retry_after(ask(api, refused)) == WAIT
        others = [new_city() for _ in range(MANY)]
        answers = [ask(api, city) for city in (refused, *others)]
        assert outcome(ask(api, known)) == "STALE"
        if time.monotonic() - told < WAIT:  # otherwise this machine was too slow to check
            assert {answer.status_code for answer in answers} == {503}
            assert all(1 <= retry_after(answer) <= WAIT for answer in answers)
            assert fake_weather.questions(refused) == 1
            assert [fake_weather.questions(city) for city in others] == [0] * MANY
            assert fake_weather.questions(known) == 1
        eventually(lambda: outcome(ask(api, known)) == "MISS", within=WAIT + 3)
        assert time.monotonic() - told >= WAIT
        assert outcome(ask(api, refused)) == "MISS"


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
def test_a_503_stops_calls_for_its_retry_after(launch: Launch, fake_weather: FakeWeather) -> None:
    with Api(launch()) as api:
        city, other = new_city(), new_city()
        with fake_weather.failing("error-503", city, retry_after="30"):
            assert 29 <= retry_after(ask(api, city)) <= 30
        assert ask(api, city).status_code == ask(api, other).status_code == 503
        assert [fake_weather.questions(city), fake_weather.questions(other)] == [1, 0]


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage
def test_the_server_pauses_after_a_timeout_of_the_provider(
    launch: Launch, fake_weather: FakeWeather
) -> None:
    settings = {"WEATHER_TIMEOUT": str(TIMEOUT), "WEATHER_TIMEOUT_PAUSE": str(WAIT)}
    with Api(launch(start=True, WEATHER_CACHE_TTL="1", **settings)) as api:
        known, slow = make_known(api), new_city()
        fake_weather.fail("hang", None)
        try:
            answer = ask(api, slow)
            assert answer.status_code == 504
            assert retry_after(answer) == WAIT
            timed_out, seconds = time.monotonic(), list[float]()
            others = [new_city() for _ in range(MANY)]
            answers = [asked_in(seconds, api, city) for city in (slow, *others)]
            assert outcome(asked_in(seconds, api, known)) == "STALE"
            if time.monotonic() - timed_out < WAIT:
                assert max(seconds) < AT_ONCE
                assert {answer.status_code for answer in answers} == {504}
                assert all(1 <= retry_after(answer) <= WAIT for answer in answers)
                assert sum(fake_weather.calls(city) for city in (slow, *others)) == 1
            # After the pause one request tries again, and the others get an answer at once.
            time.sleep(max(0.0, timed_out + WAIT + 0.2 - time.monotonic()))
            before = sum(fake_weather.calls(city) for city in others)
            tried = in_parallel(MANY, lambda number: ask(api, others[number]).status_code)
            assert tried.results == [504] * MANY
            assert sum(fake_weather.calls(city) for city in others) - before == 1
        finally:
            fake_weather.recover(None)
        eventually(lambda: outcome(ask(api, known)) == "MISS", within=WAIT + 5)
        assert outcome(ask(api, slow)) == "MISS"


def in_two_minutes() -> str:
    """Return a time in the format of HTTP (RFC 9110, 5.6.7)."""
    return format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)


RETRY_AFTER_VALUES: dict[str, tuple[Callable[[], str | None], tuple[int, int]]] = {
    "seconds": (lambda: "30", (30, 30)),
    "date": (in_two_minutes, (115, 120)),
    "absent": (lambda: None, (1, LONGEST_WAIT)),
    "empty": (lambda: "", (1, LONGEST_WAIT)),
    "zero": (lambda: "0", (1, LONGEST_WAIT)),
    "negative": (lambda: "-5", (1, LONGEST_WAIT)),
    "word": (lambda: "soon", (1, LONGEST_WAIT)),
    "exponent": (lambda: "1e9", (1, LONGEST_WAIT)),
    "a year": (lambda: str(365 * 24 * 60 * 60), (1, LONGEST_WAIT)),
    "5000 digits": (lambda: "9" * 5000, (1, LONGEST_WAIT)),
    "past": (lambda: "Sat, 01 Jan 2000 00:00:00 GMT", (1, LONGEST_WAIT)),
    "far future": (lambda: "Fri, 31 Dec 9999 23:59:59 GMT", (1, LONGEST_WAIT)),
    "an invalid date": (lambda: "Mon, 99 Foo 2026 99:99:99 GMT", (1, LONGEST_WAIT)),
    "a date without a zone": (lambda: "Fri, 31 Dec 2049 23:59:59", (1, LONGEST_WAIT)),
}


@pytest.fixture(scope="module")
def servers_by_value(launch_for_module: Launch) -> dict[str, LaunchedServer]:
    """Return a server for each value of `Retry-After`; all of them start at the same time."""
    servers = {name: launch_for_module(start=False) for name in RETRY_AFTER_VALUES}
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage
@pytest.mark.parametrize("name", RETRY_AFTER_VALUES)
def test_a_reasonable_retry_after_is_followed(
    servers_by_value: dict[str, LaunchedServer], fake_weather: FakeWeather, name: str
) -> None:
    wish, (at_least, at_most) = RETRY_AFTER_VALUES[name]
    city = new_city()
    with Api(servers_by_value[name]) as api:
        with fake_weather.failing("rate-limit", city, retry_after=wish()):
            answer = ask(api, city)
        assert answer.status_code == 503
        assert at_least <= retry_after(answer) <= at_most
        assert fake_weather.questions(city) == 1
    assert "Traceback" not in servers_by_value[name].log_text()


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.parametrize(("mode", "status"), [("not-found", 404), ("html", 502)])
def test_any_answer_of_the_provider_closes_the_circuit(
    launch: Launch, fake_weather: FakeWeather, mode: str, status: int
) -> None:
    with Api(launch()) as api:
        city = new_city()
        with fake_weather.failing("rate-limit", city, retry_after="1"):
            assert ask(api, city).status_code == 503
        with fake_weather.failing(mode, city, endpoint="search"):
            eventually(lambda: ask(api, city).status_code == status)
            assert outcome(ask(api, new_city())) == "MISS"


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage
def test_the_lookup_limit_does_not_apply_to_cached_answers(
    launch: Launch, fake_weather: FakeWeather
) -> None:
    with Api(launch(WEATHER_CACHE_TTL="600", WEATHER_LOOKUPS_PER_MINUTE=str(LOOKUPS))) as api:
        began = time.monotonic()
        cities = [new_city() for _ in range(LOOKUPS)]
        assert [outcome(ask(api, city)) for city in cities] == ["MISS"] * LOOKUPS
        more = [new_city() for _ in range(MANY)]
        refused = [ask(api, city) for city in more]
        fair = (time.monotonic() - began) // (60 / LOOKUPS) + 1  # lookups that became available
        assert [answer.status_code for answer in refused].count(503) >= MANY - fair
        assert all(
            1 <= retry_after(answer) <= 60 / LOOKUPS
            for answer in refused
            if answer.status_code == 503
        )
        assert sum(fake_weather.questions(city) for city in more) <= fair
        assert [outcome(ask(api, city)) for city in cities] == ["HIT"] * LOOKUPS
        eventually(lambda: ask(api, more[-1]).status_code == 200, within=60 / LOOKUPS + 3)


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage
def test_a_stale_answer_is_served_when_no_lookup_is_left(
    launch: Launch, fake_weather: FakeWeather
) -> None:
    with Api(launch(WEATHER_CACHE_TTL="1", WEATHER_LOOKUPS_PER_MINUTE="1")) as api:
        known = make_known(api)
        assert outcome(ask(api, known)) == "STALE"
        assert fake_weather.questions(known) == 1
