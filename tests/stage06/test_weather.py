"""Requirement 6.1: the weather of a city, from either provider."""

from datetime import UTC, datetime, timedelta

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.fake_weather import CITIES, City, Sky
from course.harness.problems import named, reason
from course.harness.weather import FakeWeather
from tests.stage06.weather import ask, moment, new_city, weather_of

DRIFT = 0.5  # °C or m/s: the possible change of the weather during a request
LONGEST = 100  # characters
MEASURED_EVERY = 300  # seconds; the time of each measurement is a multiple of this


def wind_over(city: City, at: float) -> float:
    """Return the wind speed over the city, in m/s."""
    return Sky.over(city.latitude, city.longitude, at).wind_speed


@pytest.mark.requirement("6.1")
@pytest.mark.contract("W1", "W11")
@pytest.mark.usefixtures("fake_weather")
def test_the_weather_has_the_units_of_the_contract(weather: Api) -> None:
    assert weather_of(ask(weather, "Reykjavik"))["country"] in ("IS", "Iceland")
    # With wind, km/h and m/s differ, and the felt temperature is lower than the real one.
    now, ascii_names = datetime.now(UTC).timestamp(), [c for c in CITIES if c.name.isascii()]
    city = max(ascii_names, key=lambda city: wind_over(city, now))
    answer = ask(weather, city.name)
    found = weather_of(answer)
    assert found["city"] == city.name
    sky = Sky.over(city.latitude, city.longitude, moment(found["fetched_at"]).timestamp())
    assert found["temperature"] == pytest.approx(sky.temperature, abs=DRIFT)  # °C, not K or °F
    assert found["feels_like"] == pytest.approx(sky.feels_like, abs=DRIFT)
    assert found["wind_speed"] == pytest.approx(sky.wind_speed, abs=DRIFT)  # m/s, not km/h
    assert found["humidity"] == pytest.approx(sky.humidity, abs=2)
    assert isinstance(found["description"], str)
    assert found["description"]
    assert answer.headers["content-type"].partition(";")[0] == "application/json"


@pytest.mark.requirement("6.1")
@pytest.mark.contract("E2", "W1")
@pytest.mark.usefixtures("fake_weather")
def test_times_are_in_utc_and_close_to_now(weather: Api) -> None:
    found, now = weather_of(ask(weather, new_city())), datetime.now(UTC)
    assert abs(moment(found["fetched_at"]) - now) < timedelta(minutes=1)
    assert -timedelta(minutes=1) <= now - moment(found["observed_at"]) <= timedelta(hours=1)
    # The provider measures every 10 or 15 minutes.
    assert moment(found["observed_at"]).timestamp() % MEASURED_EVERY == 0


@pytest.mark.requirement("6.1")
@pytest.mark.contract("W1")
@pytest.mark.usefixtures("fake_weather")
@pytest.mark.parametrize("name", ["London", "São Paulo", "New York"])
def test_a_city_is_found_by_its_name(weather: Api, name: str) -> None:
    city = weather_of(ask(weather, name))["city"]
    assert city == name or not name.isascii()  # the provider may spell it in another language


def check_country(weather: Api, name: str, country: str | None) -> None:
    """Ask for a city and compare its country: the provider chooses the language of its name."""
    found = weather_of(ask(weather, name))
    assert found["city"]
    assert found["country"] == country


@pytest.mark.requirement("6.1")
@pytest.mark.craft
@pytest.mark.usefixtures("fake_weather")
@pytest.mark.parametrize(
    ("name", "country"),
    [("London", "GB"), ("Москва", "RU"), ("São Paulo", "BR"), ("Point Nemo", None)],
)
def test_a_city_is_found_by_its_name_in_latin_or_cyrillic_letters(
    weather: Api, name: str, country: str | None
) -> None:
    check_country(weather, name, country)


@pytest.mark.requirement("6.1")
@pytest.mark.craft
@pytest.mark.usefixtures("fake_weather")
@pytest.mark.parametrize("provider", ["OpenWeatherMap"], indirect=True)
@pytest.mark.parametrize(
    ("name", "country"),
    [("القاهرة", "EG"), ("Ρόδος", "GR"), ("北京", "CN"), ("서울", "KR"), ("दिल्ली", "IN")],
)
def test_a_city_is_found_by_its_name_in_any_script(
    weather: Api, name: str, country: str | None
) -> None:
    check_country(weather, name, country)


@pytest.mark.requirement("6.1", "6.5")
@pytest.mark.contract("W3", "E5")
@pytest.mark.usefixtures("fake_weather")
def test_an_unknown_city_gets_404_with_a_reason(weather: Api) -> None:
    answer = ask(weather, f"No such {new_city()}")
    assert answer.status_code == 404
    assert reason(answer)


@pytest.mark.requirement("6.1")
@pytest.mark.contract("W4", "E4")
@pytest.mark.parametrize(
    "city",
    variants(
        ["", "   ", "\t\n", "\u2003\u00a0", "\x1c", "x" * (LONGEST + 1)],
        craft=["   ", "\t\n", "\u2003\u00a0", "\x1c"],
    ),
)
def test_an_empty_or_too_long_city_gets_422(api: Api, city: str) -> None:
    answer = ask(api, city)
    assert answer.status_code == 422
    assert "city" in named(answer)


@pytest.mark.requirement("6.1")
@pytest.mark.contract("W4")
def test_the_city_parameter_is_required(api: Api) -> None:
    assert api.request("GET", "/weather").status_code == 422


@pytest.mark.requirement("6.1")
@pytest.mark.contract("W3", "W4")
@pytest.mark.usefixtures("fake_weather")
@pytest.mark.parametrize(
    "city",
    variants(
        ["x" * LONGEST, f"  {'ы' * LONGEST}  ", "a\0b", "?&#%/..", "😀"],
        craft=[f"  {'ы' * LONGEST}  ", "a\0b", "?&#%/..", "😀"],
    ),
)
def test_an_unusual_city_name_gets_404(weather: Api, city: str) -> None:
    assert ask(weather, city).status_code == 404


@pytest.mark.requirement("6.1")
@pytest.mark.craft
def test_a_city_name_cannot_add_parameters_to_the_providers_url(
    weather: Api, fake_weather: FakeWeather
) -> None:
    """If the server did not escape the name, it would be London with other parameters."""
    name = f"London&count=0&units=imperial&appid=bad-key#{new_city()}"
    assert ask(weather, name).status_code == 404
    assert fake_weather.questions(name) == 1
