"""Row 6.5: a provider that takes too long. All of it at once, for it takes seconds."""

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

LONGEST = PATIENCE + 4.0  # seconds that anybody should wait, on a machine that is busy
AT_ONCE = 0.5  # seconds, generous: held up by the provider, it would be seconds

Case = tuple[str, str, str]  # mode, provider, endpoint
CASES = [(mode, *where) for mode in SLOW for where in EVERY_ENDPOINT]


@dataclass(frozen=True)
class Waited:
    """What became of one who asked while the provider took too long."""

    answer: httpx.Response
    seconds: float
    calls: int


@dataclass(frozen=True)
class Afternoon:
    """All that was tried: on cities not known before, on known ones, and what else went on."""

    cold: dict[Case, Waited]
    known: dict[Case, Waited]
    others: list[float]  # seconds that GET /todos took meanwhile
    log: str


@pytest.fixture(scope="module")
def afternoon(forgetful_servers: dict[str, LaunchedServer], fake_weather: FakeWeather) -> Afternoon:
    """Let every way to be slow happen to a city that is known and to one that is not."""
    apis = {provider: Api(server) for provider, server in forgetful_servers.items()}
    marks = {provider: server.log_mark() for provider, server in forgetful_servers.items()}
    user = apis["Open-Meteo"].as_new_user()
    cities = [(case, new_city()) for case in CASES * 2]
    for (_, provider, _), city in cities[len(CASES) :]:
        weather_of(ask(apis[provider], city))
    for (mode, _, endpoint), city in cities:
        fake_weather.fail(mode, city, endpoint=endpoint, seconds=TOO_SLOW)
    time.sleep(BRIEF + 0.1)  # what is known is old now: there is nothing to poll for
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
    return Afternoon(
        dict(zip(CASES, cold, strict=True)), dict(zip(CASES, known, strict=True)), others, log
    )


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W7")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_provider_that_takes_too_long_is_504_and_is_not_asked_again(
    afternoon: Afternoon, case: Case
) -> None:
    waited = afternoon.cold[case]
    assert waited.answer.status_code == 504
    assert reason(waited.answer)
    assert waited.seconds < LONGEST
    assert waited.calls == 1


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W10")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_an_older_answer_is_given_when_the_provider_takes_too_long(
    afternoon: Afternoon, case: Case
) -> None:
    waited = afternoon.known[case]
    assert outcome(waited.answer) == "STALE"
    assert age(waited.answer) >= BRIEF
    assert max_age(waited.answer) == 0
    assert waited.seconds < LONGEST


@pytest.mark.requirement("6.3", "6.5")
@pytest.mark.own_stage("app/weather/")
def test_while_the_provider_hangs_everyone_else_is_served(afternoon: Afternoon) -> None:
    assert len(afternoon.others) >= 10
    assert median(afternoon.others) < AT_ONCE


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
def test_waiting_leaves_no_traceback_and_no_key_in_the_log(afternoon: Afternoon) -> None:
    assert "/weather" in afternoon.log
    assert "Traceback" not in afternoon.log
    assert KEY not in afternoon.log


@pytest.mark.requirement("6.5")
@pytest.mark.slow
def test_a_provider_has_five_seconds_for_each_piece_and_ten_in_all(
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
