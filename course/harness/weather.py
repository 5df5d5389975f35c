"""The fake weather provider of the app under test, which tests control.

From stage 6 on it starts with the first server, so no request leaves this machine. For a running
server (`--base-url`), `--weather-control-url` names the fake provider of that server. Without it,
tests that control the provider are skipped as *not checked*.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from course.catalog.stages import ROOT
from course.harness.server import LaunchedServer

FIRST_STAGE_WITH_WEATHER = 6
NOT_CHECKED = "not checked: needs control of the weather provider (--weather-control-url)"

_COMMAND = (sys.executable, "-m", "course.harness.fake_weather", "--port", "{port}")


class FakeWeather:
    """A client of the fake's control page. Cities are named in English."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._client = httpx.Client(trust_env=False, timeout=20)

    def settings(self) -> dict[str, str]:
        """Return the settings of an app that uses this provider."""
        return {
            "OPENWEATHERMAP_BASE_URL": self.base_url,
            "OPEN_METEO_BASE_URL": self.base_url,
            "OPEN_METEO_GEOCODING_BASE_URL": self.base_url,
            # No rate limit, since this provider has no quota and all tests use one address.
            "WEATHER_LOOKUPS_PER_MINUTE": "100000",
            "RATE_LIMIT_WEATHER": "",
        }

    def fail(self, mode: str, city: str | None = None, **fields: object) -> None:
        """Set a fault for requests; `course/harness/fake_weather.py` lists the modes.

        `endpoint`, `times`, `seconds` and `retry_after` choose the requests and the fault.
        """
        given = {"mode": mode, "city": city} | fields
        form = {name: str(value) for name, value in given.items() if value is not None}
        answer = self._client.post(f"{self.base_url}/__control__/mode", data=form)
        assert answer.status_code == httpx.codes.OK, answer.text

    def recover(self, city: str | None = None) -> None:
        """Remove all faults."""
        self.fail("ok", city)

    @contextmanager
    def failing(self, mode: str, city: str, **fields: object) -> Iterator[None]:
        """Set a fault for a city during the `with` block."""
        self.fail(mode, city, **fields)
        try:
            yield
        finally:
            self.recover(city)

    def calls(self, city: str, *endpoints: str) -> int:
        """Return the number of requests for a city, at these endpoints or at all of them."""
        return sum(
            row["count"]
            for row in self._report()["requests"]
            if row["city"] == city and (not endpoints or row["endpoint"] in endpoints)
        )

    def questions(self, city: str) -> int:
        """Return how often an app has started a call for a city.

        Open-Meteo needs two requests for one answer, the place of the city and its weather: they
        count once.
        """
        return self.calls(city, "weather", "search")

    def modes(self) -> list[str]:
        """Return every mode, also `ok`."""
        modes: list[str] = self._report()["modes"]
        return modes

    def _report(self) -> dict[str, Any]:
        report: dict[str, Any] = self._client.get(f"{self.base_url}/__control__").json()
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the provider of a server that somebody else started."""
    parser.getgroup("the app under test").addoption(
        "--weather-control-url",
        metavar="URL",
        help="with --base-url: the fake weather provider that this server asks",
    )


@pytest.fixture(scope="session")
def fake_weather(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FakeWeather]:
    """The provider of all servers of these tests."""
    control_url = request.config.getoption("weather_control_url")
    if control_url:
        yield FakeWeather(control_url)
    elif request.config.getoption("base_url"):
        pytest.skip(NOT_CHECKED)
    else:
        provider = LaunchedServer(
            _COMMAND, tmp_path_factory.mktemp("weather"), working_directory=ROOT
        )
        provider.start()
        yield FakeWeather(provider.base_url)
        provider.end()


@pytest.fixture(scope="session")
def provider_settings(request: pytest.FixtureRequest, stage: int) -> dict[str, str]:
    """Settings for every server that we start: none before stage 6."""
    if stage < FIRST_STAGE_WITH_WEATHER:
        return {}
    fake: FakeWeather = request.getfixturevalue("fake_weather")
    return fake.settings()
