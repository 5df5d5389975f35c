"""The driver signs in if the app has users, and shows the exchange of an unexpected answer."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import repeat

import httpx
import pytest

from course.harness import bounded, driver
from course.harness.driver import Api
from course.harness.exchange import RECENT
from course.harness.ports import free_port
from course.harness.raw_http import send_raw
from course.harness.server import AttachedServer
from course.harness.waiting import eventually
from course.tests.conftest import Sample
from course.tests.odd_servers import odd_server
from course.tests.sample_server import TOKEN

PATIENCE = 1.0  # seconds
LONGEST = 1024 * 1024  # bytes


def test_the_driver_signs_in_as_a_new_user_if_the_server_has_users(sample: Sample) -> None:
    server = sample("users")
    server.start()
    with Api(server) as visitor:
        assert visitor.request("GET", "/todos").status_code == 401
        assert visitor.as_new_user().create_todo()["authorization"] == f"Bearer {TOKEN}"


def test_the_driver_sends_no_token_to_a_server_without_users(sample: Sample) -> None:
    server = sample()
    server.start()
    with Api(server) as visitor:
        assert visitor.as_new_user().create_todo()["authorization"] is None


@pytest.mark.parametrize("behaviours", [["users"], []])
def test_an_attached_server_is_asked_whether_it_has_users(
    sample: Sample, behaviours: list[str]
) -> None:
    server = sample(*behaviours)
    server.start()
    attached = AttachedServer(server.base_url + "/")
    assert attached.has_users == bool(behaviours)
    with Api(attached) as visitor:
        assert visitor.as_new_user().create_todo()["id"] == 1


def test_an_unexpected_answer_is_an_assertion_that_shows_it(sample: Sample) -> None:
    server = sample("users")
    server.start()
    with Api(server) as visitor, pytest.raises(AssertionError) as failed:
        visitor.create_todo()
    assert "POST /todos: expected 201, got 401" in str(failed.value)
    assert "Not authenticated" in str(failed.value)


def test_any_json_is_sent_as_it_is(sample: Sample) -> None:
    server = sample()
    server.start()
    with Api(server) as api:
        assert api.request("POST", "/todos", json=None).json()["sent"] is None
        assert api.request("POST", "/todos", json=[1]).json()["sent"] == [1]
        assert api.request("POST", "/todos", content=b'"\xd0\xb6"').json()["sent"] == "ж"


def test_stored_exchanges_stay_small(sample: Sample) -> None:
    server = sample()
    server.start()
    with Api(server) as api:
        for _ in range(50):
            api.request("POST", "/todos", json={"title": "t" * 100_000})
    assert len(RECENT) < 20
    assert sum(len(str(exchange)) for exchange in RECENT) < 100_000


@pytest.fixture
def refusing_server() -> Iterator[AttachedServer]:
    """A server that answers 413 to the head of a request and closes without reading the body."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield AttachedServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)


def test_an_answer_that_comes_before_the_body_is_sent_can_be_read(
    refusing_server: AttachedServer,
) -> None:
    for _ in range(20):
        answer = send_raw(refusing_server, "POST", "/todos", repeat(b"x" * 65_536), headers={})
        assert (answer.status, answer.body) == (413, b"{}")


@pytest.fixture(params=["endless", "drips"])
def talkative_server(request: pytest.FixtureRequest) -> Iterator[AttachedServer]:
    """A server with endless answers, fast or slow."""
    port = free_port()
    with subprocess.Popen(odd_server(request.param).format(port=port).split()) as process:
        try:
            eventually(lambda: is_open(port), within=10)
            yield AttachedServer(f"http://127.0.0.1:{port}")
        finally:
            process.kill()


def is_open(port: int) -> bool:
    """Return whether a server listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_endless_answer_is_read_up_to_the_limit(
    talkative_server: AttachedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "ANSWER_WITHIN", PATIENCE)
    monkeypatch.setattr(bounded, "LONGEST", LONGEST)
    began = time.monotonic()
    with Api(talkative_server) as api, pytest.raises(httpx.TransportError, match="the answer has"):
        api.request("GET", "/todos")
    assert time.monotonic() - began < PATIENCE + 2
    began = time.monotonic()
    answer = send_raw(talkative_server, "POST", "/todos", [b"{}"], headers={}, within=PATIENCE)
    assert time.monotonic() - began < PATIENCE + 2
    assert answer.status == httpx.codes.OK
    assert len(answer.body) < 2 * LONGEST


def test_no_answer_at_all_is_an_assertion(sample: Sample) -> None:
    server = sample()
    server.start()
    headers = {"Content-Length": "100"}
    with pytest.raises(AssertionError, match="no answer"):
        send_raw(server, "POST", "/todos", [b"{"], headers=headers, within=0.3)
