"""Requirements 8.2 and 8.4: limits for one user, client or frame, and the errors beyond them."""

from __future__ import annotations

import json
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from course.harness import driver
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer, Server
from course.harness.waiting import eventually, in_parallel
from tests.stage08.chat import (
    PATIENCE,
    REFUSED,
    Frame,
    Person,
    everything_after,
    history,
    new_text,
    open_socket,
    person,
    refusal,
    who_is,
)
from tests.stage08.conftest import Join
from tests.stage08.stuck import upgraded

pytestmark = pytest.mark.craft

A_SECOND, BURST = 5, 20  # messages of one user
SOCKETS = 20  # of one user, by default
FRAMES = 15  # from each of a user's sockets
FLOOD_WITHIN = 60.0  # seconds; the server must have ended a flood by then
MEMORY = 20 * 1024  # KiB that the server may use for a flood
PING, TEXT, CONTINUATION = 0x9, 0x1, 0x0
CHUNK = 1000  # frames in one call


@dataclass(frozen=True)
class Address:
    """The URL of one process of the app."""

    base_url: str


def frame(opcode: int, data: bytes = b"", *, last: bool = True) -> bytes:
    """Return a short client frame with a mask of zeros (RFC 6455, 5.2)."""
    return struct.pack("!BB", (0x80 if last else 0) | opcode, 0x80 | len(data)) + bytes(4) + data


FLOODS = {
    "pings": (b"", frame(PING, b"p" * 125)),
    "parts of a message": (frame(TEXT, last=False), frame(CONTINUATION, last=False)),
}


def memory(server: LaunchedServer) -> int:
    """Return the memory that the server uses, in KiB."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def flood(client: socket.socket, first: bytes, repeated: bytes) -> None:
    """Send a frame repeatedly; `ConnectionError` when the server closes the connection."""
    client.sendall(first)
    deadline = time.monotonic() + FLOOD_WITHIN
    while time.monotonic() < deadline:
        client.sendall(repeated * CHUNK)


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C17")
@pytest.mark.parametrize("kind", FLOODS)
def test_a_client_that_floods_without_reading_is_disconnected(launch: Launch, kind: str) -> None:
    server = launch()
    first, repeated = FLOODS[kind]
    with Api(server) as visitor, person(visitor.as_new_user()) as ada:
        flooding = visitor.as_new_user()
        before = memory(server) if Path("/proc").is_dir() else None
        with upgraded(flooding) as client:
            ada.presence("joined", who_is(flooding))
            with pytest.raises(ConnectionError):
                flood(client, first, repeated)
            ada.presence("left", who_is(flooding))
        assert ada.tell(new_text())
        if before is not None:
            assert memory(server) - before < MEMORY
    log = server.log_text()
    assert "Traceback" not in log
    assert "socket.send() raised" not in log


@pytest.mark.requirement("8.4")
@pytest.mark.contract("C16")
def test_the_server_answers_a_ping(ada: Person) -> None:
    assert ada.socket.ping(secrets.token_bytes(4)).wait(driver.ANSWER_WITHIN), "no pong received"


@pytest.mark.requirement("8.4")
def test_a_client_that_pings_often_and_reads_gets_every_pong(ada: Person) -> None:
    pongs = [ada.socket.ping(secrets.token_bytes(4)) for _ in range(500)]
    assert all(pong.wait(PATIENCE) for pong in pongs)
    assert ada.tell(new_text())


@contextmanager
def sockets_of(api: Api, server: Server, count: int) -> Iterator[list[Person]]:
    """Open several sockets of one user, spread over all processes of the app."""
    with ExitStack() as stack:
        addresses = zip(range(count), cycle(server.base_urls), strict=False)
        yield [stack.enter_context(person(api, Address(url))) for _, url in addresses]


def replies_to(somebody: Person, texts: list[str]) -> list[Frame]:
    """Return the reply to each of these texts: the message or an error."""
    ids = set(texts)
    return [somebody.receive(lambda got: got.get("client_id") in ids) for _ in texts]


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C9")
def test_the_message_limit_applies_to_a_user_with_all_sockets(
    api: Api, server: Server, join: Join
) -> None:
    run, listener = new_text(), join()
    with sockets_of(api, server, SOCKETS) as sockets:
        began = time.monotonic()

        def speak(number: int) -> list[Frame]:
            texts = [f"{run} {number} {count}" for count in range(FRAMES)]
            for text in texts:
                sockets[number].say(text, client_id=text)
            errors = 0
            seen: list[Frame] = []
            while len({got["client_id"] for got in seen}) < FRAMES:
                got = sockets[number].receive(
                    lambda got: str(got.get("client_id")).startswith(f"{run} {number} ")
                )
                errors += got["type"] == "error"
                seen.append(got)
            return [got for got in seen if got["type"] == "error"]

        outcomes = in_parallel(SOCKETS, speak)
        took = time.monotonic() - began
        assert not outcomes.errors
        refused = [error for errors in outcomes.results for error in errors]
        end = listener.tell(new_text())  # the limit does not affect other users
    assert all("Too fast" in error["detail"] for error in refused)
    stored = [got for got in everything_after(api, 0) if got["text"].startswith(run)]
    assert len(stored) + len(refused) == SOCKETS * FRAMES
    assert BURST <= len(stored) <= BURST + A_SECOND * took + 2
    assert end["id"]


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C9")
def test_a_new_connection_does_not_reset_the_message_limit(api: Api) -> None:
    began, stored = time.monotonic(), 0
    for _ in range(4):
        with person(api) as ada:
            texts = [new_text() for _ in range(BURST)]
            for text in texts:
                ada.say(text, client_id=text)
            stored += [got["type"] for got in replies_to(ada, texts)].count("message")
    assert BURST <= stored <= BURST + A_SECOND * (time.monotonic() - began) + 2


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C18")
def test_the_number_of_sockets_of_a_user_is_limited(launch: Launch) -> None:
    server = launch(CHAT_SOCKETS_PER_USER="3")
    with Api(server) as visitor:
        api, other = visitor.as_new_user(), visitor.as_new_user()
        with sockets_of(api, server, 3) as sockets:
            with open_socket(api, header=f"Bearer {api.token}") as fourth:
                with pytest.raises(ConnectionClosed) as closed:
                    fourth.recv(timeout=PATIENCE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1013
                assert "sockets" in closed.value.rcvd.reason
            with person(other) as bob:
                assert bob.message(sockets[0].tell(new_text())["text"])
            sockets[1].socket.close()
            eventually(lambda: refusal(api, header=f"Bearer {api.token}") == 0)
        log = server.log_text()
        assert "Traceback" not in log
        assert "ERROR" not in log


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C18")
def test_the_twenty_first_socket_of_a_user_is_refused(api: Api, server: Server) -> None:
    with sockets_of(api, server, SOCKETS):
        assert refusal(api, header=f"Bearer {api.token}") == 1013


BAD_WITH_AN_ID = {
    "no text": {},
    "empty text": {"text": ""},
    "too long": {"text": "x" * 2001},
    "not a string": {"text": 1},
    "half a surrogate pair": {"text": "\ud800"},
    "NUL": {"text": "a\x00b"},
    "an unknown field": {"text": "x", "user": 1},
}


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C8")
@pytest.mark.parametrize("fields", BAD_WITH_AN_ID.values(), ids=BAD_WITH_AN_ID)
def test_an_error_names_the_frame_that_it_refuses(ada: Person, fields: dict[str, object]) -> None:
    client_id = new_text()
    ada.socket.send(json.dumps({**fields, "client_id": client_id}))
    assert ada.error().get("client_id") == client_id


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C10")
def test_reusing_a_client_id_with_another_text_gets_an_error(ada: Person, bob: Person) -> None:
    client_id, first, other = new_text(), new_text(), new_text()
    stored = ada.tell(first, client_id=client_id)
    ada.say(other, client_id=client_id)
    error = ada.error()
    assert error["client_id"] == client_id
    assert "client_id" in error["detail"]
    assert ada.tell(first, client_id=client_id) == stored  # the same text gets the same answer
    end = ada.tell(new_text())
    assert history(ada.api, after=stored["id"]) == [end]
    bob.message(end["text"])
    assert [got for got in bob.received if got.get("text") == other] == []


@pytest.mark.requirement("8.4")
@pytest.mark.craft("C10")
def test_concurrent_messages_with_one_client_id_each_get_a_reply(api: Api, server: Server) -> None:
    """Two sockets send one id with two texts: one is stored, and the other gets an error."""
    for _ in range(3):
        client_id, texts = new_text(), [new_text(), new_text()]
        with sockets_of(api, server, 2) as sockets:

            def act(number: int) -> str:
                sockets[number].say(texts[number], client_id=client_id)  # noqa: B023
                got = sockets[number].receive(
                    lambda got: (
                        got.get("text") == texts[number]  # noqa: B023
                        or (got["type"] == "error" and got.get("client_id") == client_id)  # noqa: B023
                    )
                )
                return str(got["type"])

            outcomes = in_parallel(2, act)
        assert not outcomes.errors
        assert sorted(outcomes.results) == ["error", "message"]


NOT_UTF_8 = {
    "one frame": [frame(TEXT, b"\xff\xfe")],
    "half a character": [frame(TEXT, "é".encode()[:1])],
    "two parts": [frame(TEXT, b"\xff", last=False), frame(CONTINUATION, b"\xfe")],
    "half a surrogate pair": [frame(TEXT, b"\xed\xa0\x80")],
}


@pytest.mark.requirement("8.4")
@pytest.mark.parametrize("frames", NOT_UTF_8.values(), ids=NOT_UTF_8)
def test_a_text_frame_that_is_not_utf_8_closes_the_socket_cleanly(
    api: Api, launched_server: LaunchedServer, join: Join, frames: list[bytes]
) -> None:
    bob, mark = join(), launched_server.log_mark()
    with upgraded(api) as client:
        bob.presence("joined", who_is(api))
        client.sendall(b"".join(frames))
        received = b""
        while data := client.recv(65_536):
            received += data
    assert received[-4:] == b"\x88\x02" + struct.pack("!H", 1007)
    bob.presence("left", who_is(api))
    assert bob.tell(new_text())
    log = launched_server.log_since(mark)
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert '"error"' not in log


@pytest.mark.requirement("8.4")
def test_a_refused_handshake_is_not_logged_as_an_error(
    api: Api, launched_server: LaunchedServer
) -> None:
    mark = launched_server.log_mark()
    assert refusal(launched_server) in REFUSED
    assert refusal(launched_server, header="Bearer x.y.z") in REFUSED
    origin = "https://evil.example"
    assert refusal(launched_server, header=f"Bearer {api.token}", origin=origin) in REFUSED
    with socket.create_connection(("127.0.0.1", int(launched_server.base_url[-5:]))) as client:
        client.sendall(b"GET /ws/nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n")
        client.sendall(b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
        client.sendall(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 403"
    log = launched_server.log_since(mark)
    assert "ERROR" not in log
    assert '"error"' not in log
    assert "Traceback" not in log
