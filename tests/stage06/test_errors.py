"""Requirement 6.5: the server reports each failure of the provider as an error."""

from contextlib import suppress
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.problems import reason
from course.harness.server import LaunchedServer, Server
from course.harness.waiting import eventually
from course.harness.weather import FakeWeather
from tests.stage06.weather import (
    BROKEN_CONNECTION,
    BUSY,
    EVERY_ENDPOINT,
    QUICK,
    SERVER_ERROR,
    SLOW,
    ask,
    new_city,
    outcome,
)

pytestmark = pytest.mark.craft

MEMORY = 100 * 1024  # KiB; the decompressed bomb alone has five times as much


at_every_endpoint = pytest.mark.parametrize(
    ("provider", "endpoint"), EVERY_ENDPOINT, indirect=["provider"]
)


@pytest.mark.requirement("6.5")
def test_every_failure_mode_of_the_fake_is_tested(fake_weather: FakeWeather) -> None:
    assert set(fake_weather.modes()) == {"ok", "not-found", *QUICK, *SLOW, *BUSY}


# The most common kinds of failure: nonsense, an error, a rejected key.
PLAIN = ["html", "error-500", "rejected-key", "truncated", "close", "missing-fields", "error-503"]


@pytest.mark.requirement("6.5")
@pytest.mark.contract("W5")
@pytest.mark.every_variant
@at_every_endpoint
@pytest.mark.parametrize("mode", PLAIN)
def test_a_failure_of_the_provider_gets_502(
    weather: Api, fake_weather: FakeWeather, endpoint: str, mode: str
) -> None:
    city = new_city()
    with fake_weather.failing(mode, city, endpoint=endpoint):
        answer = ask(weather, city)
    assert answer.status_code == 502
    assert reason(answer)


@pytest.mark.requirement("6.5")
@at_every_endpoint
@pytest.mark.parametrize("mode", QUICK)
def test_a_failure_is_reported_and_not_cached(
    weather: Api, fake_weather: FakeWeather, endpoint: str, mode: str
) -> None:
    city = new_city()
    with fake_weather.failing(mode, city, endpoint=endpoint):
        answer = ask(weather, city)
        assert answer.status_code == QUICK[mode]
        assert reason(answer)
        assert "x-cache" not in answer.headers
        # Only a broken connection or a 5xx may be temporary, so only these are retried, once.
        tries = 2 if mode in BROKEN_CONNECTION or mode in SERVER_ERROR else 1
        assert fake_weather.calls(city, endpoint) == tries
    assert outcome(ask(weather, city)) == "MISS"


@pytest.mark.requirement("6.5")
@at_every_endpoint
@pytest.mark.parametrize("mode", ["close", "error-500"])
def test_a_temporary_failure_is_retried_successfully(
    weather: Api, fake_weather: FakeWeather, endpoint: str, mode: str
) -> None:
    city = new_city()
    with fake_weather.failing(mode, city, endpoint=endpoint, times=1):
        assert outcome(ask(weather, city)) == "MISS"
    assert fake_weather.calls(city, endpoint) == 2


@pytest.mark.requirement("6.5")
@pytest.mark.contract("W6")
@at_every_endpoint
def test_a_rate_limit_of_the_provider_gets_503(
    weather: Api, fake_weather: FakeWeather, endpoint: str
) -> None:
    city = new_city()
    with fake_weather.failing("rate-limit", city, endpoint=endpoint, retry_after="1"):
        answer = ask(weather, city)
    assert answer.status_code == 503
    assert reason(answer)
    assert answer.headers["retry-after"]
    # Other tests use this server: wait until its pause of one second is over.
    with suppress(AssertionError):
        eventually(lambda: ask(weather, city).status_code == 200, within=3)


@pytest.mark.requirement("6.5")
@pytest.mark.craft("W2")
@at_every_endpoint
def test_a_rate_limit_gets_503_with_retry_after(
    weather: Api, fake_weather: FakeWeather, endpoint: str
) -> None:
    city = new_city()
    with fake_weather.failing("rate-limit", city, endpoint=endpoint, retry_after="1"):
        answer = ask(weather, city)
        assert answer.status_code == BUSY["rate-limit"]
        assert reason(answer)
        assert int(answer.headers["retry-after"]) >= 1
        assert fake_weather.calls(city, endpoint) == 1
    # Other tests use this server: wait until its pause of one second is over.
    eventually(lambda: ask(weather, city).status_code == 200)


def forget_peak_memory(server: LaunchedServer) -> int:
    """Reset Linux's peak memory of the server; return the memory it uses now, in KiB."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5", encoding="ascii")
    return peak_memory(server)


def peak_memory(server: LaunchedServer) -> int:
    """Return the peak memory of the server since the reset, in KiB."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.mark.requirement("6.5")
@pytest.mark.parametrize("mode", ["huge", "gzip-bomb"])
def test_an_enormous_answer_of_the_provider_needs_little_memory(
    weather: Api, weather_server: Server, fake_weather: FakeWeather, mode: str
) -> None:
    if not isinstance(weather_server, LaunchedServer):
        pytest.skip("not checked: needs control of the server process")
    try:
        before = forget_peak_memory(weather_server)
    except OSError:
        pytest.skip("not checked: this system does not report peak memory")
    city = new_city()
    with fake_weather.failing(mode, city):
        assert ask(weather, city).status_code == 502
    assert peak_memory(weather_server) - before < MEMORY
