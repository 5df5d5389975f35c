"""The fake provider answers like the real ones, fails as set, and counts right."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from course.catalog.stages import ROOT
from course.harness.fake_weather import CITIES, Fault, Sky, read_fault
from course.harness.weather import FakeWeather

CURRENT = "temperature_2m,relative_humidity_2m,wind_speed_10m,weather_code"
KEY = "of-the-tests"


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeWeather]:
    """A provider only for these tests, whatever stage is tested."""
    command = [sys.executable, "-u", "-m", "course.harness.fake_weather", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        greeting = process.stdout.readline()
        yield FakeWeather(greeting.split()[5].rstrip(","))
        process.terminate()


def get(fake: FakeWeather, path: str, **query: object) -> httpx.Response:
    """Send a request like an app."""
    words = {name: str(value) for name, value in query.items()}
    return httpx.get(f"{fake.base_url}{path}", params=words, trust_env=False, timeout=5)


def weather(fake: FakeWeather, **query: object) -> httpx.Response:
    """Ask OpenWeatherMap."""
    return get(fake, "/data/2.5/weather", **query)


def test_openweathermap_answers_in_the_units_asked_for(fake: FakeWeather) -> None:
    kelvin = weather(fake, q="london", appid=KEY).json()
    celsius = weather(fake, q="London,GB", appid=KEY, units="metric").json()
    fahrenheit = weather(fake, q="LONDON", appid=KEY, units="imperial").json()
    assert kelvin["main"]["temp"] == pytest.approx(celsius["main"]["temp"] + 273.15, abs=0.2)
    assert fahrenheit["main"]["temp"] == pytest.approx(celsius["main"]["temp"] * 1.8 + 32, abs=0.3)
    assert celsius["cod"] == 200
    assert celsius["sys"]["country"] == "GB"
    assert isinstance(celsius["dt"], int)
    assert "country" not in weather(fake, q="Point Nemo", appid=KEY).json()["sys"]


@pytest.mark.parametrize(
    ("query", "status", "cod"),
    [
        ({"q": "London"}, 401, 401),
        ({"q": "London", "appid": "bad-key"}, 401, 401),
        ({"appid": KEY}, 400, "400"),
        ({"q": " ", "appid": KEY}, 400, "400"),
        ({"q": "Nowhere at all", "appid": KEY}, 404, "404"),
        ({"q": "London,FR", "appid": KEY}, 404, "404"),
    ],
)
def test_openweathermap_has_its_own_form_of_errors(
    fake: FakeWeather, query: dict[str, str], status: int, cod: int | str
) -> None:
    answer = weather(fake, **query)
    assert answer.status_code == status
    assert answer.json()["cod"] == cod
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"name": "london"}, ["London"]),
        ({"name": "sao paulo"}, ["São Paulo"]),
        ({"name": "Москва"}, []),  # not among the English names
        ({"name": "Москва", "language": "ru"}, ["Москва"]),
        ({"name": "Moscow", "language": "ru"}, ["Москва"]),
        ({"name": "Mosc"}, ["Moscow"]),
        ({"name": "Mo"}, []),
        ({"name": "M"}, []),
        ({"name": ""}, []),
        ({"name": "Nowhere at all"}, []),
    ],
)
def test_open_meteo_searches_the_names_of_one_language(
    fake: FakeWeather, query: dict[str, str], names: list[str]
) -> None:
    found = get(fake, "/v1/search", **query).json()
    assert ("results" in found) == bool(names)
    assert [place["name"] for place in found.get("results", [])] == names


def test_open_meteo_gives_the_weather_at_coordinates_with_units(fake: FakeWeather) -> None:
    (place,) = get(fake, "/v1/search", name="Kiritimati").json()["results"]
    at = {"latitude": place["latitude"], "longitude": place["longitude"], "current": CURRENT}
    found = get(fake, "/v1/forecast", **at, wind_speed_unit="ms").json()
    assert found["current_units"]["wind_speed_10m"] == "m/s"
    assert found["current"]["time"][-3] == ":"  # no offset, no seconds
    slow, fast = found["current"]["wind_speed_10m"], get(fake, "/v1/forecast", **at).json()
    assert fast["current"]["wind_speed_10m"] == pytest.approx(slow * 3.6, abs=0.1)
    there = get(fake, "/v1/forecast", **at, timezone="Pacific/Kiritimati").json()
    assert there["utc_offset_seconds"] == 14 * 3600
    assert there["current"]["time"] != found["current"]["time"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/search", {}),
        ("/v1/search", {"name": "London", "count": 0}),
        ("/v1/search", {"name": "London", "count": "many"}),
        ("/v1/forecast", {"latitude": 1}),
        ("/v1/forecast", {"latitude": 91, "longitude": 1}),
        ("/v1/forecast", {"latitude": "nan", "longitude": 1}),
        ("/v1/forecast", {"latitude": 1, "longitude": 1, "current": "tempeture_2m"}),
        ("/v1/forecast", {"latitude": 1, "longitude": 1, "wind_speed_unit": "furlongs"}),
        ("/v1/forecast", {"latitude": 1, "longitude": 1, "timezone": "Here"}),
    ],
)
def test_open_meteo_has_its_own_form_of_errors(
    fake: FakeWeather, path: str, query: dict[str, object]
) -> None:
    answer = get(fake, path, **query)
    assert answer.status_code == 400
    assert answer.json()["error"] is True
    assert answer.json()["reason"]


@pytest.mark.parametrize("path", ["/", "/v1/searching", "//v1/search", "/v1/search/"])
def test_another_path_is_404(fake: FakeWeather, path: str) -> None:
    assert get(fake, path, name="London").status_code == 404


def test_the_weather_drifts_and_is_the_same_for_the_same_moment() -> None:
    skies = [Sky.over(51.5, -0.1, at) for at in range(0, 3600, 60)]
    assert skies == [Sky.over(51.5, -0.1, at) for at in range(0, 3600, 60)]
    assert len({sky.temperature for sky in skies}) > 20
    for sky in skies:
        assert 0 <= sky.humidity <= 100
        assert sky.wind_speed >= 0
    assert len({Sky.over(city.latitude, city.longitude, 0) for city in CITIES}) == len(CITIES)


def test_a_fault_lasts_for_the_given_number_of_requests(fake: FakeWeather) -> None:
    fake.fail("error-500", "Cairo", times=2)
    statuses = [weather(fake, q="Cairo", appid=KEY).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert fake.calls("Cairo") == 3


def test_a_failure_is_for_one_city_and_one_endpoint(fake: FakeWeather) -> None:
    with fake.failing("rejected-key", "Athens", endpoint="search"):
        assert weather(fake, q="Athens", appid=KEY).status_code == 200
        assert get(fake, "/v1/search", name="London").status_code == 200
        assert get(fake, "/v1/search", name="Athens").status_code == 401
    assert get(fake, "/v1/search", name="Athens").status_code == 200


def test_a_forecast_counts_for_the_city_that_was_searched_for(fake: FakeWeather) -> None:
    (place,) = get(fake, "/v1/search", name="Springfield 77").json()["results"]
    at = {"latitude": place["latitude"], "longitude": place["longitude"]}
    get(fake, "/v1/forecast", **at, current=CURRENT)
    assert fake.calls("Springfield 77", "forecast") == 1
    assert (fake.calls("Springfield 77"), fake.questions("Springfield 77")) == (2, 1)


def test_a_rate_limit_sends_the_given_retry_after(fake: FakeWeather) -> None:
    with fake.failing("rate-limit", "Delhi", retry_after="soon"):
        answer = weather(fake, q="Delhi", appid=KEY)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "soon")


@contextmanager
def raw_request(fake: FakeWeather, city: str) -> Iterator[http.client.HTTPConnection]:
    """Send a request by hand and yield the connection."""
    address = urlsplit(fake.base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=2)
    connection.request("GET", f"/data/2.5/weather?{urlencode({'q': city, 'appid': KEY})}")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("close", http.client.RemoteDisconnected),
        ("reset", ConnectionError),
        ("invalid-http", http.client.BadStatusLine),
        ("hang", TimeoutError),
    ],
)
def test_a_fault_can_leave_a_request_without_an_answer(
    fake: FakeWeather, mode: str, error: type[Exception]
) -> None:
    fake.fail(mode, "Seoul")
    with raw_request(fake, "Seoul") as connection, pytest.raises(error):
        connection.getresponse()
    fake.recover("Seoul")
    assert weather(fake, q="Seoul", appid=KEY).status_code == 200


def test_an_answer_stops_in_the_middle(fake: FakeWeather) -> None:
    fake.fail("close-in-body", "Seoul", times=1)
    with raw_request(fake, "Seoul") as connection, pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()


def test_an_answer_drips(fake: FakeWeather) -> None:
    with fake.failing("drip", "Seoul"), raw_request(fake, "Seoul") as connection:
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(1) == b"{"


def test_a_redirect_leads_to_the_answer(fake: FakeWeather) -> None:
    with fake.failing("redirect", "Tokyo"):
        answer = weather(fake, q="Tokyo", appid=KEY)
    assert answer.status_code == 302
    elsewhere = httpx.get(fake.base_url + answer.headers["location"], trust_env=False)
    assert elsewhere.json()["name"] == "Tokyo"


def test_a_slow_answer_is_late_and_correct(fake: FakeWeather) -> None:
    with fake.failing("slow", "Tokyo", seconds=0.3):
        answer = weather(fake, q="Tokyo", appid=KEY)
    assert answer.elapsed.total_seconds() > 0.3
    assert answer.status_code == 200


@pytest.mark.parametrize("mode", ["truncated", "html", "empty", "not-utf-8", "deep"])
def test_nonsense_is_not_json(fake: FakeWeather, mode: str) -> None:
    with fake.failing(mode, "Moscow"):
        answer = weather(fake, q="Moscow", appid=KEY)
    assert answer.status_code == 200
    with pytest.raises((ValueError, RecursionError)):
        json.loads(answer.content)


@pytest.mark.parametrize("mode", ["wrong-types", "nulls", "missing-fields", "nan", "null", "list"])
def test_other_nonsense_is_json_but_not_weather(fake: FakeWeather, mode: str) -> None:
    with fake.failing(mode, "Moscow"):
        content: Any = json.loads(weather(fake, q="Moscow", appid=KEY).content)
    assert not is_weather(content)


def is_weather(content: Any) -> bool:
    """Return whether an app could use this answer of OpenWeatherMap."""
    try:
        numbers = [content["main"]["temp"], content["main"]["humidity"], content["wind"]["speed"]]
        return not any(math.isnan(number) for number in numbers)
    except (TypeError, KeyError):
        return False


def test_a_reset_deletes_all_faults_and_ends_hanging_requests(fake: FakeWeather) -> None:
    fake.fail("hang")
    with raw_request(fake, "Rhodes") as connection:
        while not fake.calls("Rhodes"):
            pass
        httpx.post(f"{fake.base_url}/__control__/reset", trust_env=False)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
    assert fake.calls("Rhodes") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mode": "sulk"},
        {"mode": "hang", "endpoint": "oracle"},
        {"mode": "hang", "times": "twice"},
        {"mode": "hang", "mood": "bad"},
    ],
)
def test_an_invalid_form_of_a_fault_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"one of|unknown|invalid literal"):
        read_fault(fields)


def test_a_form_of_a_fault_is_read_unchanged() -> None:
    wish = {"mode": "hang", "city": "London", "endpoint": "search", "times": "2"}
    assert read_fault(wish) == Fault("hang", "search", "London", 2)


def test_a_port_that_is_taken_is_one_clear_line(fake: FakeWeather) -> None:
    port = str(urlsplit(fake.base_url).port)
    command = [sys.executable, "-m", "course.harness.fake_weather", "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "address already in use" in done.stderr.lower()
