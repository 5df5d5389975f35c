"""Requirement 6.5: the provider's key is never in a log, in an answer or in a URL."""

from __future__ import annotations

import json

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.weather import FakeWeather
from tests.stage06.weather import BUSY, KEY, QUICK, ask, new_city

pytestmark = [pytest.mark.craft, pytest.mark.own_stage]

# All loggers at the lowest level, as somebody would set them to find a fault.
LOG_EVERYTHING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"level": "DEBUG", "handlers": ["stdout"]},
    "loggers": {"httpx": {"level": "DEBUG"}, "httpcore": {"level": "DEBUG"}},
}


@pytest.fixture
def talkative(launch: Launch) -> LaunchedServer:
    """Return a server with a key that logs everything."""
    server = launch(start=False, OPENWEATHERMAP_API_KEY=KEY)
    config = server.home / "logging.json"
    config.write_text(json.dumps(LOG_EVERYTHING), encoding="utf-8")
    server.command = (*server.command, "--log-config", str(config))
    server.start()
    return server


@pytest.mark.requirement("6.5")
def test_no_failure_reveals_the_key(talkative: LaunchedServer, fake_weather: FakeWeather) -> None:
    with Api(talkative) as api:
        city = new_city()
        answers = [ask(api, city), ask(api, city), ask(api, f"No such {city}"), ask(api, "")]
        assert fake_weather.calls(city, "weather") == 1  # the key was sent
        for mode in [*QUICK, *BUSY]:
            city = new_city()
            with fake_weather.failing(mode, city):
                answers.append(ask(api, city))
        answers.append(api.request("GET", "/openapi.json"))
    assert [answer for answer in answers if KEY in answer.text + str(answer.headers.raw)] == []
    log = talkative.log_text()
    assert "DEBUG" in log
    assert KEY not in log
    assert "Traceback" not in log
    files = [path for path in talkative.data_dir.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
