"""Requirement C.10: a server announces its stop, finishes its requests, and then stops."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from course.harness.driver import Api
from course.harness.ledger import Ledger
from course.harness.plugin import Launch
from course.harness.queue import NO_REDIS, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.cluster import Cluster
from tests.stage05.jobs import (
    FAR_AWAY,
    LONG,
    submit,
    submit_file,
    succeeded,
)
from tests.stage08.chat import new_text, person
from tests.stage08.stuck import stuck_client

pytestmark = pytest.mark.craft

STOPS_WITHIN = 20.0  # seconds
DRAIN = 4  # seconds


@contextmanager
def raw(server: LaunchedServer, head: str) -> Iterator[socket.socket]:
    """Send the beginning of a request, and keep the connection open."""
    address = urlsplit(server.base_url)
    with socket.create_connection((address.hostname, address.port or 80), timeout=30) as client:
        client.sendall(f"{head}\r\nHost: {address.netloc}\r\n".encode())
        yield client


def ask_to_stop(server: LaunchedServer) -> float:
    """Send SIGTERM and return the time."""
    os.kill(server.pid, signal.SIGTERM)
    return time.monotonic()


def wait_for_end(server: LaunchedServer, asked: float, within: float = STOPS_WITHIN) -> float:
    """Wait until the server has ended; return the seconds since the signal."""
    eventually(lambda: server.exit_code is not None, within=within + 5)
    took = time.monotonic() - asked
    assert took < within
    assert server.exit_code != -signal.SIGKILL
    return took


@pytest.mark.requirement("C.10")
def test_a_draining_server_reports_it_and_still_serves(launch: Launch) -> None:
    server = launch(DRAIN_SECONDS=str(DRAIN))
    with Api(server) as visitor:
        api = visitor.as_new_user()
        with person(api) as ada:
            asked = ask_to_stop(server)
            eventually(lambda: _is_draining(server), within=3)
            assert httpx.get(f"{server.base_url}/health/live").status_code == 200
            assert api.create_todo()["id"]
            assert ada.tell(new_text())
            with Api(server) as newcomer:  # on a new connection
                assert newcomer.as_new_user().list_todos() == []
            assert time.monotonic() - asked < DRAIN, "this machine was too slow for the test"
            assert ada.close_code() in {1001, 1012}
            assert time.monotonic() - asked > DRAIN - 1
    wait_for_end(server, asked)
    assert "Traceback" not in server.log_text()


def _is_draining(server: LaunchedServer) -> bool:
    answer = httpx.get(f"{server.base_url}/health/ready")
    return (answer.status_code, answer.json()["status"]) == (503, "draining")


@pytest.mark.requirement("C.10")
def test_a_stopping_server_finishes_a_started_request(launch: Launch) -> None:
    server = launch()
    with Api(server) as visitor:
        api = visitor.as_new_user()
    body = b'{"title": "begun before the end"}'
    with raw(server, "POST /todos HTTP/1.1") as client:
        client.sendall(f"Authorization: Bearer {api.token}\r\n".encode())
        client.sendall(f"Content-Length: {len(body)}\r\n".encode())
        client.sendall(b"Content-Type: application/json\r\n\r\n" + body[:5])
        eventually(lambda: _connections(server) >= 1)
        asked = ask_to_stop(server)
        eventually(lambda: "Waiting for connections to close" in server.log_text(), within=10)
        client.sendall(body[5:])
        assert client.recv(12) == b"HTTP/1.1 201"
    wait_for_end(server, asked, within=10)
    server.restart()
    with Api(server) as visitor:
        titles = [todo["title"] for todo in visitor.with_token(api.token).list_todos()]
    assert titles == ["begun before the end"]


def _connections(server: LaunchedServer) -> int:
    return 1 if httpx.get(f"{server.base_url}/health/live").status_code == 200 else 0


CLIENTS = {
    "an endless body": (
        "POST /auth/register HTTP/1.1",
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    ),
    "an endless upload": (
        "POST /images HTTP/1.1",
        b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\n",
    ),
    "an endless head": ("GET /todos HTTP/1.1", b"X-Slow: "),
    "an idle connection": ("GET /health/live HTTP/1.1", b"\r\n"),
}


@pytest.mark.requirement("C.10")
def test_the_server_stops_in_bounded_time_with_slow_clients(launch: Launch) -> None:
    """All clients at the same time: a body, an upload, a stream and a socket."""
    server = launch()
    with ExitStack() as stack:
        visitor = stack.enter_context(Api(server))
        api = visitor.as_new_user()
        job_id = submit(api, run_at=FAR_AWAY)["id"]
        for head, rest in CLIENTS.values():
            stack.enter_context(raw(server, head)).sendall(rest)
        stream = stack.enter_context(raw(server, f"GET /jobs/{job_id}/events HTTP/1.1"))
        stream.sendall(f"Authorization: Bearer {api.token}\r\n\r\n".encode())
        assert stream.recv(12) == b"HTTP/1.1 200"
        stack.enter_context(stuck_client(api))
        ada = stack.enter_context(person(visitor.as_new_user()))
        eventually(lambda: _connections(server) == 1)
        asked = ask_to_stop(server)
        assert ada.close_code() in {1001, 1012}
        wait_for_end(server, asked)
    # The lifespan ended normally: the shutdown was not aborted.
    assert "Application shutdown complete" in server.log_text()


@pytest.mark.requirement("C.10")
def test_a_second_signal_stops_the_server_at_once(launch: Launch) -> None:
    server = launch()
    head, rest = CLIENTS["an endless body"]
    with raw(server, head) as connection:
        connection.sendall(rest)
        eventually(lambda: _connections(server) == 1)
        ask_to_stop(server)
        eventually(lambda: "Waiting for connections to close" in server.log_text(), within=10)
        # The server ignores a signal right after the first one, so the test repeats it.
        asked = time.monotonic()

        def ends() -> bool:
            if server.exit_code is None:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(server.pid, signal.SIGTERM)
            return server.exit_code is not None

        eventually(ends, within=5)
        assert time.monotonic() - asked < 4
    server.kill()


@pytest.mark.requirement("C.10")
def test_a_stopping_server_releases_its_running_job(launch: Launch) -> None:
    server = launch(REDIS_URL="")
    ledger = Ledger(server.database)
    with Api(server) as visitor:
        api = visitor.as_new_user()
        job_ids = [submit_file(api, LONG)["id"] for _ in range(3)]
        eventually(lambda: ledger.status(job_ids[0]) == "running", within=30)
    wait_for_end(server, ask_to_stop(server), within=15)
    assert "running" not in {ledger.status(job_id) for job_id in job_ids}
    server.restart()
    with Api(server) as visitor:
        for job_id in job_ids:
            assert succeeded(visitor.with_token(api.token), job_id)["attempts"] == 1


@pytest.mark.requirement("C.10")
@pytest.mark.deployment("full")
def test_all_processes_of_a_port_stop_cleanly(launch: Launch) -> None:
    server = launch(start=False)
    server.command = (*server.command, "--workers", "2")
    server.start()
    eventually(lambda: server.log_text().count("Application startup complete") == 2, within=30)
    wait_for_end(server, ask_to_stop(server))
    assert server.log_text().count("Application shutdown complete") == 2


@pytest.mark.requirement("C.10")
@pytest.mark.deployment("full")
@pytest.mark.skipif(not redis_is_available(), reason=NO_REDIS)
def test_a_worker_stops_in_time_and_loses_no_job(launch: Launch, tmp_path: Path) -> None:
    cluster = Cluster(launch(start=False), tmp_path)
    try:
        api, ledger = cluster.start()
        with api:
            cluster.worker.start()
            job_ids = [submit_file(api, LONG)["id"] for _ in range(3)]
            eventually(lambda: "running" in {ledger.status(i) for i in job_ids}, within=60)
            asked = time.monotonic()
            assert cluster.worker.stop(within=STOPS_WITHIN) != -9
            assert time.monotonic() - asked < STOPS_WITHIN
            assert "running" not in {ledger.status(job_id) for job_id in job_ids}
            other = cluster.workers[1]
            cluster.beat.start()
            other.start()
            for job_id in job_ids:
                assert succeeded(api, job_id, within=90)["status"] == "succeeded"
    finally:
        cluster.end()
