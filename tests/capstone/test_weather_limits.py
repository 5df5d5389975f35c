"""Requirement C.1: one client cannot use up all lookups of the weather provider."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import NO_REDIS, Redis, redis_is_available
from course.harness.waiting import eventually
from course.harness.weather import FakeWeather
from tests.capstone.test_rate_limits import assert_refused, new_address
from tests.stage06.weather import new_city, outcome

pytestmark = pytest.mark.craft

LOOKUPS = 4  # an hour
RATE = f"{LOOKUPS}/hour"


def ask_from(api: Api, address: str, city: str) -> httpx.Response:
    """Request the weather from this address."""
    headers = {"X-Forwarded-For": address}
    return api.request("GET", "/weather", params={"city": city}, headers=headers)


@pytest.mark.requirement("C.1")
def test_the_number_of_lookups_of_a_client_is_limited(
    launch: Launch, fake_weather: FakeWeather
) -> None:
    with Api(launch(RATE_LIMIT_WEATHER=RATE)) as api:
        address, cities, more = new_address(), [new_city() for _ in range(LOOKUPS)], new_city()
        answers = [ask_from(api, address, city) for city in cities]
        assert [outcome(answer) for answer in answers] == ["MISS"] * LOOKUPS
        assert_refused(ask_from(api, address, more))
        assert fake_weather.questions(more) == 0
        # Cached answers do not count, and other clients are not affected.
        assert outcome(ask_from(api, address, cities[0])) == "HIT"
        assert outcome(ask_from(api, new_address(), more)) == "MISS"
        assert outcome(ask_from(api, address, more)) == "HIT"


@pytest.mark.requirement("C.1")
def test_a_client_without_lookups_gets_a_stale_answer(launch: Launch) -> None:
    with Api(launch(RATE_LIMIT_WEATHER="1/hour", WEATHER_CACHE_TTL="1")) as api:
        address, city = new_address(), new_city()
        assert outcome(ask_from(api, address, city)) == "MISS"
        eventually(lambda: outcome(ask_from(api, address, city)) == "STALE")


@pytest.fixture
def two(launch: Launch, redis_of_the_test: Redis) -> Iterator[tuple[Api, Api]]:
    """Return visitors of two processes with one Redis."""
    settings = {"RATE_LIMIT_WEATHER": RATE, "REDIS_URL": redis_of_the_test.url}
    first = launch(start=True, **settings)
    settings["DATABASE_URL"] = first.settings["DATABASE_URL"]
    with Api(first) as one, Api(launch(start=True, **settings)) as another:
        yield one, another


@pytest.fixture
def redis_of_the_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Return a Redis that only this test uses."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("weather_limits") / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.mark.requirement("C.1")
def test_processes_count_lookups_together_and_share_the_answers(
    two: tuple[Api, Api], fake_weather: FakeWeather
) -> None:
    address, cities = new_address(), [new_city() for _ in range(LOOKUPS)]
    for number, city in enumerate(cities):
        assert outcome(ask_from(two[number % 2], address, city)) == "MISS"
    for api in two:
        assert_refused(ask_from(api, address, new_city()))
        # The other process has cached this city in Redis, so it is not a lookup.
        assert {ask_from(api, address, city).status_code for city in cities} == {200}
    assert [fake_weather.questions(city) for city in cities] == [1] * LOOKUPS
