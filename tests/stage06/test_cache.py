"""Requirements 6.2 and 6.4: the weather of a city is cached in memory for ten minutes."""

from collections.abc import Callable

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from course.harness.weather import FakeWeather
from tests.stage06.weather import (
    BRIEF,
    TTL,
    age,
    ask,
    max_age,
    moment,
    new_city,
    outcome,
    weather_of,
)


@pytest.mark.requirement("6.2", "6.4")
@pytest.mark.contract("W1", "W8")
def test_a_second_request_gets_the_cached_answer(weather: Api, fake_weather: FakeWeather) -> None:
    city = new_city()
    first, second = ask(weather, city), ask(weather, city)
    assert (outcome(first), outcome(second)) == ("MISS", "HIT")
    assert first.json() == second.json()
    assert fake_weather.questions(city) == 1


@pytest.mark.requirement("6.2")
@pytest.mark.contract("W1", "W8")
def test_age_grows_while_max_age_shrinks(weather: Api, fake_weather: FakeWeather) -> None:
    city = new_city()
    first = ask(weather, city)
    assert age(first) == 0
    assert TTL - 2 <= max_age(first) <= TTL

    def grew() -> bool:
        return age(ask(weather, city)) > 0

    eventually(grew)
    later = ask(weather, city)
    assert outcome(later) == "HIT"
    assert TTL - 2 <= age(later) + max_age(later) <= TTL + 1  # both values may be rounded
    assert max_age(later) < max_age(first)
    assert fake_weather.questions(city) == 1


@pytest.mark.requirement("6.2", "6.4")
@pytest.mark.contract("W8")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        str.lower,
        str.swapcase,
        lambda city: f"  {city} ",
        lambda city: city.replace(" ", "   "),
        pytest.param(lambda city: f"  {city}\t", marks=pytest.mark.craft),
        pytest.param(lambda city: city.replace(" ", " \t  "), marks=pytest.mark.craft),
        pytest.param(lambda city: city.replace(" ", "\u2003"), marks=pytest.mark.craft),
    ],
    ids=["upper", "lower", "swapped", "around", "within", "tab around", "tab within", "em space"],
)
def test_case_and_spaces_of_a_city_do_not_matter(
    weather: Api, fake_weather: FakeWeather, change: Callable[[str], str]
) -> None:
    city = new_city()
    first, second = ask(weather, city), ask(weather, change(city))
    assert (outcome(first), outcome(second)) == ("MISS", "HIT")
    assert first.json() == second.json()
    assert fake_weather.questions(city) == 1


@pytest.mark.requirement("6.2")
@pytest.mark.craft  # a provider may know only the English name of a city
@pytest.mark.usefixtures("fake_weather")
@pytest.mark.parametrize(
    ("provider", "one", "other"),
    [
        ("Open-Meteo", "МОСКВА", "москва"),
        ("OpenWeatherMap", "МОСКВА", "москва"),
        ("OpenWeatherMap", "ΡΌΔΟΣ", "Ρόδος"),
    ],
    indirect=["provider"],
)
def test_case_does_not_matter_in_other_alphabets(weather: Api, one: str, other: str) -> None:
    first, second = ask(weather, one), ask(weather, other)
    assert weather_of(first) == weather_of(second)
    assert outcome(second) == "HIT"


@pytest.mark.requirement("6.2", "6.4")
@pytest.mark.contract("W8")
def test_each_city_gets_its_own_weather(weather: Api, fake_weather: FakeWeather) -> None:
    cities = [new_city() for _ in range(5)]
    first = {city: weather_of(ask(weather, city)) for city in cities}
    assert {city: weather_of(ask(weather, city)) for city in cities} == first
    assert {found["city"] for found in first.values()} == set(cities)
    assert [fake_weather.questions(city) for city in cities] == [1] * 5


@pytest.mark.requirement("6.2")
@pytest.mark.own_stage("app/weather/")
@pytest.mark.contract("W8", "W12")
def test_an_expired_answer_is_requested_again(forgetful: Api, fake_weather: FakeWeather) -> None:
    city = new_city()
    first = ask(forgetful, city)
    assert max_age(first) <= BRIEF
    outcomes = [outcome(ask(forgetful, city))]

    def asked_again() -> bool:
        outcomes.append(outcome(ask(forgetful, city)))
        return outcomes[-1] == "MISS"

    eventually(asked_again, within=BRIEF + 3)
    assert set(outcomes[:-1]) == {"HIT"}
    assert fake_weather.questions(city) == 2
    second = weather_of(ask(forgetful, city))
    waited = moment(second["fetched_at"]) - moment(first.json()["fetched_at"])
    assert BRIEF <= waited.total_seconds() < BRIEF + 2


@pytest.mark.requirement("6.2")
@pytest.mark.craft("W2")
def test_an_unknown_city_is_cached_too(weather: Api, fake_weather: FakeWeather) -> None:
    city = f"No such {new_city()}"
    assert [ask(weather, name).status_code for name in (city, city.upper(), city)] == [404] * 3
    assert fake_weather.questions(city) == 1


@pytest.mark.requirement("6.4")
@pytest.mark.own_stage
@pytest.mark.craft
def test_a_restart_empties_the_cache(
    server_with_a_key: LaunchedServer, fake_weather: FakeWeather
) -> None:
    city = new_city()
    with Api(server_with_a_key) as api:
        assert [outcome(ask(api, city)) for _ in range(2)] == ["MISS", "HIT"]
        server_with_a_key.restart()
        assert outcome(ask(api, city)) == "MISS"
    assert fake_weather.questions(city) == 2
