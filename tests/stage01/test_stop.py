"""Requirement D.2: a server stops in bounded time after SIGTERM, also with slow clients."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import ExitStack, closing, suppress

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.raw_http import chunk, connect, head
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually

pytestmark = pytest.mark.craft

STOPS_WITHIN = 20.0  # seconds
STOPPING = "Waiting for connections to close"  # uvicorn's log line
BEGINNING = b'{"title": "x'
SMALL = 4096  # bytes that the system buffers for a client that does not read
ANSWERS = 200  # of 16 KiB and more: too many for the buffers of the system


def half_a_body(server: LaunchedServer, framing: dict[str, str], beginning: bytes) -> socket.socket:
    """Send the head of a request and the beginning of its body; return the connection."""
    path = "/auth/register" if server.has_users else "/todos"
    client = connect(server)
    client.sendall(head(server, "POST", path, framing) + beginning)
    return client


def send_slowly(client: socket.socket, ended: threading.Event) -> None:
    """Send one byte of a body at a time. A timeout for each single read would never expire."""
    with suppress(OSError):
        while not ended.wait(0.2):
            client.sendall(b"x")


def client_that_does_not_read(server: LaunchedServer) -> socket.socket:
    """Request a large answer many times and read nothing; return the connection."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    host, port = server.base_url.removeprefix("http://").split(":")
    client.connect((host, int(port)))
    client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * ANSWERS)
    return client


def answer_to(client: socket.socket) -> bytes:
    """Return everything that the server sends before it closes the connection."""
    answer = b""
    with suppress(ConnectionResetError):
        while data := client.recv(65_536):
            answer += data
    return answer


@pytest.mark.requirement("D.2")
@pytest.mark.own_stage
def test_the_server_stops_in_bounded_time_with_slow_clients(launch: Launch) -> None:
    server = launch()
    ended = threading.Event()
    with ExitStack() as stack:
        fixed, chunked = {"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}
        sent_half = [
            stack.enter_context(closing(half_a_body(server, fixed, BEGINNING))),
            stack.enter_context(closing(half_a_body(server, fixed, b""))),
            stack.enter_context(closing(half_a_body(server, chunked, chunk(BEGINNING)))),
        ]
        slow = stack.enter_context(closing(half_a_body(server, fixed, BEGINNING)))
        stack.enter_context(closing(client_that_does_not_read(server)))
        sender = threading.Thread(target=send_slowly, args=(slow, ended))
        sender.start()
        try:
            with Api(server) as api:  # the server has accepted the other connections by now
                assert api.request("GET", "/openapi.json").status_code == 200
            assert server.stop(within=STOPS_WITHIN) in (0, -signal.SIGTERM)
        finally:
            ended.set()
            sender.join()
        answers = [answer_to(client) for client in sent_half]
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503"), answer
        assert b'"detail":' in answer.replace(b'" :', b'":')
        assert b"\r\nretry-after:" in answer.lower()
    log = server.log_text()
    assert "Application shutdown complete" in log
    assert "Traceback" not in log


@pytest.mark.requirement("D.2")
@pytest.mark.own_stage("app/shutdown.py", "app/middleware/")
def test_the_server_finishes_open_requests_before_it_stops(launch: Launch) -> None:
    server = launch()
    body = b'{"title": "begun before the end", "username": "ada", "password": "correct horse"}'
    length = {"Content-Length": str(len(body))}
    with closing(half_a_body(server, length, body[:5])) as client:
        with Api(server) as api:
            api.request("GET", "/openapi.json")
        os.kill(server.pid, signal.SIGTERM)
        eventually(lambda: STOPPING in server.log_text(), within=10)
        client.sendall(body[5:])
        assert answer_to(client).startswith((b"HTTP/1.1 201", b"HTTP/1.1 422"))
    assert server.stop(within=STOPS_WITHIN) in (0, -signal.SIGTERM)
