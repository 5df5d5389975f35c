"""Servers that ask the one provider or the other: the fake speaks both languages."""

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
    """Which provider is asked."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def provider_of_attached(server: Server, fake_weather: FakeWeather) -> str | None:
    """The provider that a server asks which somebody else started; None when it is ours."""
    if not isinstance(server, AttachedServer):
        return None
    city = new_city()
    with Api(server) as api:
        ask(api, city)
    return "OpenWeatherMap" if fake_weather.calls(city, "weather") else "Open-Meteo"


@pytest.fixture(scope="session")
def server_with_a_key(launch_for_session: Launch) -> LaunchedServer:
    """A server that asks OpenWeatherMap."""
    return launch_for_session(OPENWEATHERMAP_API_KEY=KEY)


@pytest.fixture
def weather_server(
    request: pytest.FixtureRequest, provider: str, provider_of_attached: str | None, server: Server
) -> Server:
    """A server that asks this provider: the shared one has no key."""
    if provider_of_attached not in (None, provider):
        pytest.skip(OTHER_PROVIDER)
    if provider == "Open-Meteo" or provider_of_attached:
        return server
    found: LaunchedServer = request.getfixturevalue("server_with_a_key")
    return found


@pytest.fixture
def weather(weather_server: Server) -> Iterator[Api]:
    """A driver of that server; nothing that the provider does may upset it."""
    mark = weather_server.log_mark()
    with Api(weather_server) as api:
        yield api
    log = weather_server.log_since(mark)
    assert "Traceback" not in log
    assert KEY not in log


@pytest.fixture(scope="session")
def forgetful_servers(launch_for_session: Launch) -> dict[str, LaunchedServer]:
    """By provider, servers that keep answers for a moment, and wait for them for a few seconds.

    They ask again at once after a timeout: the cities of one test do not concern another.
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
    """A driver of a server that keeps answers for a moment only."""
    with Api(_forgetful_server) as api:
        yield api
