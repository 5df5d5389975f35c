"""Requirement 6.2: concurrent requests for one city cause one call to the provider."""

import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from course.harness.driver import Api
from course.harness.raw_http import connect
from course.harness.server import Server
from course.harness.waiting import eventually, in_parallel
from course.harness.weather import FakeWeather
from tests.stage06.weather import ask, new_city, outcome, weather_of

pytestmark = pytest.mark.craft

LONG_ENOUGH = 1.5  # seconds; all requests arrive before the provider answers
DIFFERENT = 8  # cities
SOON = 3.5  # seconds for all cities; each takes one second


@pytest.fixture
def crowd(weather_server: Server) -> Iterator[Api]:
    """Return a driver that has a connection for every concurrent request."""
    client = httpx.Client(limits=httpx.Limits(max_connections=None), trust_env=False, timeout=20)
    with Api(weather_server, client=client) as api:
        yield api


@pytest.mark.requirement("6.2", "6.4")
@pytest.mark.own_stage("app/weather/", "app/single_flight.py")
@pytest.mark.contract("W9")
@pytest.mark.parametrize(
    ("provider", "people"),
    [("OpenWeatherMap", 50), ("Open-Meteo", 100)],
    indirect=["provider"],
)
def test_concurrent_requests_share_one_call_and_its_answer(
    crowd: Api, fake_weather: FakeWeather, people: int
) -> None:
    city = new_city()
    with fake_weather.failing("slow", city, seconds=LONG_ENOUGH, times=1):
        answers = in_parallel(people, lambda _: ask(crowd, city))
    assert not answers.errors
    assert {outcome(answer) for answer in answers.results} <= {"MISS", "HIT"}
    assert len({answer.text for answer in answers.results}) == 1
    assert fake_weather.questions(city) == 1


@pytest.mark.requirement("6.2")
def test_concurrent_requests_share_one_failing_call(crowd: Api, fake_weather: FakeWeather) -> None:
    city, people = new_city(), 50
    with fake_weather.failing("error-500", city):
        answers = in_parallel(people, lambda _: ask(crowd, city).status_code)
    assert answers.results == [502] * people
    assert fake_weather.calls(city) < people / 5


@pytest.mark.requirement("6.2", "6.3")
@pytest.mark.contract("E27")
def test_requests_for_different_cities_do_not_wait_for_each_other(
    crowd: Api, fake_weather: FakeWeather
) -> None:
    cities = [new_city() for _ in range(DIFFERENT)]
    for city in cities:
        fake_weather.fail("slow", city, seconds=1, times=1)
    asked = time.monotonic()
    answers = in_parallel(DIFFERENT, lambda number: weather_of(ask(crowd, cities[number])))
    waited = time.monotonic() - asked
    assert [found["city"] for found in answers.results] == cities
    assert waited < SOON


@pytest.mark.requirement("6.2")
@pytest.mark.own_stage("app/weather/", "app/single_flight.py")
def test_a_client_that_disconnects_does_not_cancel_the_shared_call(
    crowd: Api, weather_server: Server, fake_weather: FakeWeather
) -> None:
    city = new_city()
    with fake_weather.failing("slow", city, seconds=LONG_ENOUGH, times=1):
        request = f"GET /weather?city={city.replace(' ', '+')} HTTP/1.1\r\nHost: here\r\n\r\n"
        with closing(connect(weather_server)) as impatient:
            impatient.sendall(request.encode())
            eventually(lambda: fake_weather.questions(city))
        answers = in_parallel(10, lambda _: weather_of(ask(crowd, city)))
    assert not answers.errors
    assert len(answers.results) == 10
    assert fake_weather.questions(city) == 1
