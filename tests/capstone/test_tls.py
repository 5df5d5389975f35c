"""Requirement C.5: `compose.tls.yaml` puts a real Caddy before the gateway, with TLS for all.

The test takes Caddy's configuration from the file and changes only ports and addresses. With nginx
on this machine, the gateway is between Caddy and the API, as in the containers.
"""

from __future__ import annotations

import secrets
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from websockets.sync.client import connect
from websockets.typing import Origin

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.ports import free_port
from course.harness.queue import Process
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.capstone.gateways import NGINX, started_gateway
from tests.stage03.accounts import PASSWORD, new_account
from tests.stage05.jobs import FAR_AWAY, submit

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # the same for both forms

CADDY = Path(sys.executable).with_name("caddyserver")
FORGED = "203.0.113.7"  # an address that a client invents
A_YEAR = "max-age=31536000"


@dataclass(frozen=True)
class Site:
    """Caddy before an API."""

    http: str  # base URLs
    https: str
    trust: ssl.SSLContext
    api: LaunchedServer

    def client(self, local_address: str = "127.0.0.1") -> httpx.Client:
        """Return a client that trusts only this Caddy."""
        transport = httpx.HTTPTransport(verify=self.trust, local_address=local_address)
        return httpx.Client(base_url=self.https, transport=transport, timeout=20)


@pytest.fixture(scope="module")
def site(
    launch_for_module: Launch, stage_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Yield the running proxies."""
    directory = tmp_path_factory.mktemp("tls")
    api = launch_for_module(LOG_FORMAT="json")
    http, https, health = free_port(), free_port(), free_port()
    overlay = (stage_directory / "compose.tls.yaml").read_text(encoding="utf-8")
    overlay = overlay.replace("!reset", "").replace("!override", "")
    text = yaml.safe_load(overlay)["configs"]["Caddyfile"]["content"].replace("$$", "$")
    with ExitStack() as stack:
        behind = api.base_url
        if NGINX:
            gateway = started_gateway(api, stage_directory, directory, behind="behind_tls.conf")
            behind = stack.enter_context(gateway).base_url
        for old, new in {
            "admin off": f"admin off\n  http_port {http}\n  https_port {https}",
            "gateway:8080": behind.removeprefix("http://"),
            ":2020": f":{health}",
        }.items():
            assert old in text, f"{old} is not in compose.tls.yaml: update the replacements here"
            text = text.replace(old, new)
        (directory / "Caddyfile").write_text(text, encoding="utf-8")
        environment = {
            "DOMAIN": "localhost",
            "TLS_OPTIONS": "tls internal",
            "XDG_DATA_HOME": str(directory / "data"),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "HOME": str(directory),
        }
        command = [str(CADDY), "run", "--config", str(directory / "Caddyfile")]
        command += ["--adapter", "caddyfile"]
        caddy = Process(command, environment, directory, directory / "caddy.log")
        stack.callback(caddy.end)
        caddy.start()
        root = directory / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        assert eventually(root.exists, within=30), caddy.log_text()
        trust = ssl.create_default_context(cafile=str(root))
        site = Site(f"http://localhost:{http}", f"https://localhost:{https}", trust, api)
        assert eventually(lambda: is_up(site), within=30), caddy.log_text()
        yield site


def is_up(site: Site) -> bool:
    """Return whether the API answers through Caddy, with a certificate."""
    with site.client() as client:
        try:
            return client.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def token(site: Site) -> Iterator[str]:
    """The token of a new user."""
    with Api(site.api) as visitor:
        yield str(visitor.as_new_user().token)


@pytest.mark.requirement("C.5")
def test_http_leads_to_https(site: Site) -> None:
    answer = httpx.get(f"{site.http}/posts?limit=1", trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://localhost/posts?limit=1"


@pytest.mark.requirement("C.5")
@pytest.mark.parametrize("path", ["/posts", "/todos", "/metrics"])  # 200, 401, of the gateway
def test_every_answer_asks_for_https_for_a_year(site: Site, path: str) -> None:
    with site.client() as client:
        assert client.get(path).headers.get_list("strict-transport-security") == [A_YEAR]


@pytest.mark.requirement("C.5")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one loopback address")
def test_the_api_sees_the_address_of_the_client_and_not_a_forged_one(site: Site) -> None:
    mark = site.api.log_mark()
    with site.client("127.0.0.9") as client:
        forged = {"X-Forwarded-For": FORGED, "X-Forwarded-Proto": "http", "X-Real-IP": FORGED}
        client.get("/posts?offset=7", headers=forged)
    assert eventually(lambda: '"client":"127.0.0.9"' in site.api.log_since(mark))
    assert FORGED not in site.api.log_since(mark)


@pytest.mark.requirement("C.5")
def test_the_cookie_of_a_page_is_for_https_only(site: Site) -> None:
    with Api(site.api) as visitor, site.client() as client:
        form = {"username": new_account(visitor), "password": PASSWORD}
        attempt = {"X-Attempt": secrets.token_hex(16)}
        answer = client.post("/auth/session", data=form, headers=attempt)
    assert answer.status_code == 200
    (cookie,) = answer.headers.get_list("set-cookie")
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))


@pytest.mark.requirement("C.5")
def test_the_chat_works_through_tls(site: Site, token: str) -> None:
    address = site.https.replace("https", "wss") + "/ws/chat"
    with connect(
        address,
        ssl=site.trust,
        origin=Origin(site.https),
        additional_headers={"Authorization": f"Bearer {token}"},
        proxy=None,
    ) as socket:
        socket.send('{"text": "through Caddy"}')
        assert any("through Caddy" in str(socket.recv(timeout=20)) for _ in range(5))


@pytest.mark.requirement("C.5")
def test_an_event_arrives_while_its_stream_is_open(site: Site, token: str) -> None:
    with Api(site.api, token=token) as api, site.client() as client:
        job = submit(api, run_at=FAR_AWAY)
        headers = {"Authorization": f"Bearer {token}"}
        with client.stream("GET", f"/jobs/{job['id']}/events", headers=headers) as answer:
            assert answer.status_code == 200
            assert job["id"] in next(line for line in answer.iter_lines() if "data:" in line)
