"""Requirement 6.5: a wrong provider URL or a bad proxy causes an error and no crash."""

from __future__ import annotations

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from course.harness.weather import FakeWeather
from tests.stage02.reasons import reason_in
from tests.stage06.weather import KEY, ask

pytestmark = [pytest.mark.craft, pytest.mark.own_stage]

CLOSED = "http://127.0.0.1:9"  # no process listens there

# {fake} is the URL of the fake provider, {tls} is the same URL with https.
BASE_URLS = {
    "another path": ("{fake}/some/where", 502),
    "a closed port": (CLOSED, 502),
    "https at a port without TLS": ("{tls}", 502),
    "an invalid host name": ("http://xn--a", 502),
}
PROXIES: dict[str, tuple[dict[str, str], int]] = {
    "a proxy that is down": ({"HTTP_PROXY": CLOSED}, 502),
    "a slash at the end and no proxy for this address": (
        {"OPENWEATHERMAP_BASE_URL": "{fake}/", "HTTP_PROXY": CLOSED, "NO_PROXY": "127.0.0.1"},
        200,
    ),
}
EXPECTED = {name: status for name, (_, status) in (BASE_URLS | PROXIES).items()}
UNUSABLE = {"a proxy of another kind": "socks5://127.0.0.1:9"}


@pytest.fixture(scope="module")
def servers(launch_for_module: Launch, fake_weather: FakeWeather) -> dict[str, LaunchedServer]:
    """Return all servers that start; they start at the same time."""
    fake = fake_weather.base_url
    tls = fake.replace("http:", "https:")
    settings = {name: {"OPENWEATHERMAP_BASE_URL": url} for name, (url, _) in BASE_URLS.items()}
    settings |= {name: variables for name, (variables, _) in PROXIES.items()}
    settings |= {name: {"ALL_PROXY": proxy} for name, proxy in UNUSABLE.items()}
    servers = {}
    for name, chosen in settings.items():
        servers[name] = launch_for_module(start=False, OPENWEATHERMAP_API_KEY=KEY)
        servers[name].settings |= {
            variable: value.format(fake=fake, tls=tls) for variable, value in chosen.items()
        }
    in_parallel(len(servers), lambda number: list(servers.values())[number].start(within=90))
    return servers


@pytest.mark.requirement("6.5")
@pytest.mark.parametrize("name", EXPECTED)
def test_an_unreachable_provider_gets_502(servers: dict[str, LaunchedServer], name: str) -> None:
    with Api(servers[name]) as api:
        answer = ask(api, "London")
    assert answer.status_code == EXPECTED[name]
    log = servers[name].log_text()
    assert "Traceback" not in log
    assert KEY not in log + answer.text


@pytest.mark.requirement("6.5")
@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_proxy_stops_the_start_and_is_named(
    servers: dict[str, LaunchedServer], name: str, stage: int
) -> None:
    assert servers[name].exit_code not in (0, None)
    assert "proxy" in reason_in(servers[name].log_text(), stage)
