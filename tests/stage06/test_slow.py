"""Requirement 6.5: a provider that answers too late. All cases run at once to save time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from statistics import median

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.problems import reason
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from course.harness.weather import FakeWeather
from tests.stage06.weather import (
    BRIEF,
    EVERY_ENDPOINT,
    KEY,
    PATIENCE,
    SLOW,
    TOO_SLOW,
    age,
    ask,
    max_age,
    new_city,
    outcome,
    weather_of,
)

pytestmark = pytest.mark.craft

LONGEST = PATIENCE + 4.0  # seconds; the longest wait, with a reserve for a busy machine
AT_ONCE = 0.5  # seconds; a request that waits for the provider takes several

Case = tuple[str, str, str]  # mode, provider, endpoint
CASES = [(mode, *where) for mode in SLOW for where in EVERY_ENDPOINT]


@dataclass(frozen=True)
class Waited:
    """The result of a request while the provider answered too late."""

    answer: httpx.Response
    seconds: float
    calls: int


@dataclass(frozen=True)
class SlowResults:
    """The results for unknown cities, for known cities, and for other requests."""

    cold: dict[Case, Waited]
    known: dict[Case, Waited]
    others: list[float]  # durations of GET /todos meanwhile, in seconds
    log: str


@pytest.fixture(scope="module")
def slow_results(
    forgetful_servers: dict[str, LaunchedServer], fake_weather: FakeWeather
) -> SlowResults:
    """Try every slow mode with a known and with an unknown city."""
    apis = {provider: Api(server) for provider, server in forgetful_servers.items()}
    marks = {provider: server.log_mark() for provider, server in forgetful_servers.items()}
    user = apis["Open-Meteo"].as_new_user()
    cities = [(case, new_city()) for case in CASES * 2]
    for (_, provider, _), city in cities[len(CASES) :]:
        weather_of(ask(apis[provider], city))
    for (mode, _, endpoint), city in cities:
        fake_weather.fail(mode, city, endpoint=endpoint, seconds=TOO_SLOW)
    time.sleep(BRIEF + 0.1)  # the known answers expire; a check would refresh them
    before = {city: fake_weather.calls(city) for _, city in cities}

    def wait(number: int) -> Waited:
        (_, provider, endpoint), city = cities[number]
        asked = time.monotonic()
        answer = ask(apis[provider], city)
        seconds = time.monotonic() - asked
        calls = fake_weather.calls(city, endpoint) - (1 if before[city] else 0)
        return Waited(answer, seconds, calls)

    others, finished = list[float](), threading.Event()

    def list_todos() -> None:
        while not finished.wait(0.05):
            asked = time.monotonic()
            user.list_todos(limit=1)
            others.append(time.monotonic() - asked)

    somebody_else = threading.Thread(target=list_todos)
    somebody_else.start()
    waited = in_parallel(len(cities), wait)
    finished.set()
    somebody_else.join()
    assert not waited.errors
    for _, city in cities:
        fake_weather.recover(city)
    log = "".join(server.log_since(marks[name]) for name, server in forgetful_servers.items())
    for api in apis.values():
        api.close()
    cold, known = waited.results[: len(CASES)], waited.results[len(CASES) :]
    return SlowResults(
        dict(zip(CASES, cold, strict=True)), dict(zip(CASES, known, strict=True)), others, log
    )


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W7")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_timeout_of_the_provider_gets_504_without_a_retry(
    slow_results: SlowResults, case: Case
) -> None:
    waited = slow_results.cold[case]
    assert waited.answer.status_code == 504
    assert reason(waited.answer)
    assert waited.seconds < LONGEST
    assert waited.calls == 1


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W10")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_stale_answer_is_served_after_a_timeout_of_the_provider(
    slow_results: SlowResults, case: Case
) -> None:
    waited = slow_results.known[case]
    assert outcome(waited.answer) == "STALE"
    assert age(waited.answer) >= BRIEF
    assert max_age(waited.answer) == 0
    assert waited.seconds < LONGEST


@pytest.mark.requirement("6.3", "6.5")
@pytest.mark.own_stage("app/weather/")
def test_other_requests_are_served_while_the_provider_hangs(slow_results: SlowResults) -> None:
    assert len(slow_results.others) >= 10
    assert median(slow_results.others) < AT_ONCE


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
def test_a_timeout_logs_no_traceback_and_no_key(slow_results: SlowResults) -> None:
    assert "/weather" in slow_results.log
    assert "Traceback" not in slow_results.log
    assert KEY not in slow_results.log


@pytest.mark.requirement("6.5")
@pytest.mark.slow
def test_the_provider_has_five_seconds_per_read_and_ten_in_total(
    launch: Launch, fake_weather: FakeWeather
) -> None:
    server, modes = launch(), ("hang", "drip")
    cities = {mode: new_city() for mode in modes}

    def wait(number: int) -> float:
        city = cities[modes[number]]
        with fake_weather.failing(modes[number], city), Api(server) as api:
            asked = time.monotonic()
            assert ask(api, city).status_code == 504
            return time.monotonic() - asked

    waited = in_parallel(len(modes), wait)
    assert not waited.errors
    hanging, dripping = waited.results
    assert 4.5 < hanging < 9
    assert 9.5 < dripping < 14
