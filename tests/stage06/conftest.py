"""Servers that ask one of the two providers; the fake provider implements both APIs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.learners import NEEDS_CMD
from course.harness.plugin import Launch, start_another
from course.harness.server import AttachedServer, LaunchedServer, Server
from course.harness.weather import FakeWeather
from tests.stage06.weather import BRIEF, ENDPOINTS, KEY, PATIENCE, ask, new_city

OTHER_PROVIDER = "not checked: this server asks the other provider"


@pytest.fixture(params=list(ENDPOINTS))
def provider(request: pytest.FixtureRequest) -> str:
    """Return the name of the provider."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def provider_of_attached(server: Server, fake_weather: FakeWeather) -> str | None:
    """Return the provider of an attached server, or None if the tests started the server."""
    if not isinstance(server, AttachedServer):
        return None
    city = new_city()
    with Api(server) as api:
        ask(api, city)
    return "OpenWeatherMap" if fake_weather.calls(city, "weather") else "Open-Meteo"


@pytest.fixture(scope="session")
def server_with_a_key(launch_for_session: Launch) -> LaunchedServer:
    """Return a server that asks OpenWeatherMap."""
    return launch_for_session(OPENWEATHERMAP_API_KEY=KEY)


@pytest.fixture
def weather_server(
    request: pytest.FixtureRequest, provider: str, provider_of_attached: str | None, server: Server
) -> Server:
    """Return a server that asks this provider. The shared server has no key."""
    if provider_of_attached not in (None, provider):
        pytest.skip(OTHER_PROVIDER)
    if provider == "Open-Meteo" or provider_of_attached:
        return server
    found: LaunchedServer = request.getfixturevalue("server_with_a_key")
    return found


@pytest.fixture
def weather(weather_server: Server) -> Iterator[Api]:
    """Return a driver of that server; the server must not log a traceback or the key."""
    mark = weather_server.log_mark()
    with Api(weather_server) as api:
        yield api
    log = weather_server.log_since(mark)
    assert "Traceback" not in log
    assert KEY not in log


@pytest.fixture(scope="session")
def forgetful_servers(launch_for_session: Launch) -> dict[str, LaunchedServer]:
    """Return a server for each provider, with a short cache time and a short timeout.

    After a timeout they ask again at once, so the cities of one test do not affect another.
    """
    settings = {
        "WEATHER_CACHE_TTL": str(BRIEF),
        "WEATHER_TIMEOUT": str(PATIENCE),
        "WEATHER_TIMEOUT_PAUSE": "0",
    }
    return {
        "Open-Meteo": launch_for_session(start=True, **settings),
        "OpenWeatherMap": launch_for_session(start=True, **settings, OPENWEATHERMAP_API_KEY=KEY),
    }


@pytest.fixture(scope="session")
def _forgetful_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LaunchedServer]:
    if not request.config.getoption("base_url"):
        servers: dict[str, LaunchedServer] = request.getfixturevalue("forgetful_servers")
        yield servers["Open-Meteo"]
        return
    request.getfixturevalue("fake_weather")
    if not request.config.getoption("solution"):
        pytest.skip(NEEDS_CMD)
    directory = tmp_path_factory.mktemp("forgetful")
    with start_another(request.config, directory, WEATHER_CACHE_TTL=str(BRIEF)) as server:
        yield server


@pytest.fixture
def forgetful(_forgetful_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of a server that caches answers only briefly."""
    with Api(_forgetful_server) as api:
        yield api
