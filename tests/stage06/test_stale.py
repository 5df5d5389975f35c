"""Requirement 6.5: when the provider fails, the server returns a stale answer and marks it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from course.harness.driver import Api
from course.harness.problems import reason
from course.harness.server import LaunchedServer
from course.harness.weather import FakeWeather
from tests.stage06.weather import (
    BRIEF,
    ENDPOINTS,
    EVERY_ENDPOINT,
    QUICK,
    age,
    ask,
    max_age,
    new_city,
    outcome,
    weather_of,
)

pytestmark = pytest.mark.craft

Case = tuple[str, str, str]  # mode, provider, endpoint
CASES = [(mode, *where) for mode in QUICK for where in EVERY_ENDPOINT]
AT_ONCE = 6  # cases at the same time


@dataclass(frozen=True)
class Answers:
    """The answers for a city: at first, while the provider failed, and after it recovered."""

    fresh: httpx.Response
    failing: httpx.Response
    recovered: httpx.Response


@pytest.fixture(scope="module")
def answers(
    forgetful_servers: dict[str, LaunchedServer], fake_weather: FakeWeather
) -> dict[Case, Answers]:
    """Run all cases at once, because each waits until its first answer is stale."""
    apis = {provider: Api(server) for provider, server in forgetful_servers.items()}
    cities = {case: new_city() for case in CASES}
    fresh = {case: ask(apis[case[1]], city) for case, city in cities.items()}
    time.sleep(BRIEF + 0.1)  # all answers expire; a check would refresh them

    def tell(case: Case) -> Answers:
        (mode, provider, endpoint), city = case, cities[case]
        with fake_weather.failing(mode, city, endpoint=endpoint):
            failing = ask(apis[provider], city)
        return Answers(fresh[case], failing, ask(apis[provider], city))

    with ThreadPoolExecutor(AT_ONCE) as executor:
        answers = dict(zip(CASES, executor.map(tell, CASES), strict=True))
    for api in apis.values():
        api.close()
    return answers


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W10")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_stale_answer_is_served_while_the_provider_fails(
    answers: dict[Case, Answers], case: Case
) -> None:
    story = answers[case]
    assert outcome(story.fresh) == "MISS"
    assert outcome(story.failing) == "STALE"
    assert weather_of(story.failing) == weather_of(story.fresh)
    assert age(story.failing) >= BRIEF
    assert max_age(story.failing) == 0


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_recovered_provider_is_asked_at_once(answers: dict[Case, Answers], case: Case) -> None:
    story = answers[case]
    assert outcome(story.recovered) == "MISS"
    assert age(story.recovered) == 0
    fetched = [weather_of(answer)["fetched_at"] for answer in (story.fresh, story.recovered)]
    assert fetched == sorted(set(fetched))


@pytest.mark.requirement("6.5")
@pytest.mark.own_stage("app/weather/")
def test_a_city_that_no_longer_exists_gets_404_not_a_stale_answer(
    provider: str, forgetful_servers: dict[str, LaunchedServer], fake_weather: FakeWeather
) -> None:
    """A 404 is an answer of the provider, not a failure."""
    city = new_city()
    with Api(forgetful_servers[provider]) as api:
        assert outcome(ask(api, city)) == "MISS"
        with fake_weather.failing("not-found", city, endpoint=ENDPOINTS[provider][0]):
            seen = ["HIT"]
            while seen[-1] == "HIT" and len(seen) < 1000:
                answer = ask(api, city)
                seen.append(outcome(answer) if answer.status_code == 200 else reason(answer))
                time.sleep(0.02)
            assert answer.status_code == 404, seen
            # The older answer does not return while the provider fails.
            fake_weather.fail("error-500", city)
            assert ask(api, city).status_code in (404, 502)
