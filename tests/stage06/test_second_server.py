"""Requirement 6.5 on a server with a short cache time: stale answers and timeouts."""

import time

import httpx
import pytest

from course.harness.driver import Api
from course.harness.problems import reason
from course.harness.waiting import eventually
from course.harness.weather import FakeWeather
from tests.stage06.weather import BRIEF, age, ask, max_age, new_city, outcome, weather_of

LONGEST_WAIT = 30.0  # seconds; every answer must have arrived by then


@pytest.mark.requirement("6.5")
@pytest.mark.contract("W10", "W12")
@pytest.mark.slow
def test_a_stale_answer_is_served_when_the_provider_fails(
    forgetful: Api, fake_weather: FakeWeather
) -> None:
    city = new_city()
    fresh = ask(forgetful, city)
    with fake_weather.failing("error-500", city):

        def no_longer_fresh() -> httpx.Response:
            answer = ask(forgetful, city)
            assert outcome(answer) != "HIT" or age(answer) >= BRIEF
            return answer

        old = eventually(no_longer_fresh, within=BRIEF + 3)
    assert outcome(old) == "STALE"
    assert weather_of(old) == weather_of(fresh)
    assert max_age(old) == 0


@pytest.mark.requirement("6.5")
@pytest.mark.contract("W7")
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_provider_that_never_answers_gets_504(forgetful: Api, fake_weather: FakeWeather) -> None:
    city = new_city()
    patient = httpx.Client(trust_env=False, timeout=LONGEST_WAIT)
    with Api(forgetful.server, client=patient) as api, fake_weather.failing("hang", city):
        asked = time.monotonic()
        answer = ask(api, city)
        assert answer.status_code == 504
        assert reason(answer)
        assert time.monotonic() - asked < LONGEST_WAIT
