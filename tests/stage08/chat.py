"""Chat clients: one socket for each person, and frames as in the contract."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from course.harness import driver, profile
from course.harness.driver import Api
from course.harness.exchange import FrameLog

Frame = dict[str, Any]

PATIENCE = 20.0  # seconds that a connection may take
A_WORD = 5.0  # seconds until a socket that is refused after the handshake must be closed
TOO_FAST = 0.3  # seconds to wait after the error "too fast"
JOINED = 3.0  # seconds to wait for the presence frame of a new user, if the server sends one
LONGEST_TEXT = 2000  # characters
REFUSED = {401, 403, 1008}  # statuses of the handshake, or the close code of the socket
LARGE = 64 * 1024 * 1024  # bytes: the longest frame that the test client accepts


_FRAMES = logging.getLogger("frames of the tests")
_FRAMES.setLevel(logging.DEBUG)
_FRAMES.propagate = False
_FRAMES.addHandler(FrameLog())


class Addressed(Protocol):
    """A server, or a driver of one process of the server."""

    @property
    def base_url(self) -> str:
        """Return scheme, host and port."""


def socket_address(base_url: str, query: str = "") -> str:
    """Return the URL of the chat's socket."""
    return base_url.replace("http", "ws", 1) + profile.active().path("/ws/chat") + query


def new_text(start: str = "") -> str:
    """Return a text that no other message has."""
    return f"{start}{secrets.token_hex(8)}"


def open_socket(
    server: Addressed,
    *,
    header: str | None = None,
    subprotocols: list[str] | None = None,
    query: str = "",
    origin: str | None = None,
) -> ClientConnection:
    """Open a socket; the errors are those of `websockets`."""
    return connect(
        socket_address(server.base_url, query),
        additional_headers={"Authorization": header} if header else None,
        subprotocols=[Subprotocol(name) for name in subprotocols] if subprotocols else None,
        origin=Origin(origin) if origin else None,
        proxy=None,
        open_timeout=PATIENCE,
        close_timeout=1,
        logger=_FRAMES,
        max_size=LARGE,
        max_queue=None,  # read everything at once, so that the server never sees a slow client
    )


def refusal(server: Addressed, **options: Any) -> int:
    """Return the status or the close code of a refused socket; 0 if it stays open."""
    try:
        with open_socket(server, **options) as socket:
            # Our servers send a presence frame first. Other servers may send nothing.
            with suppress(TimeoutError):
                socket.recv(timeout=A_WORD)
            return 0
    except InvalidStatus as error:
        return error.response.status_code
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


def _is_message(frame: Frame, text: str) -> bool:
    return bool(frame["type"] == "message" and frame["text"] == text)


def _is_too_fast(frame: Frame, fields: Frame) -> bool:
    """Return whether the frame is the error "too fast" for this message."""
    of_another = frame.get("client_id") not in (None, fields.get("client_id"))
    return frame["type"] == "error" and "fast" in frame["detail"].lower() and not of_another


def core(message: Frame) -> Frame:
    """Return the fields of a message that the contract requires in frames and in the history."""
    return {name: message[name] for name in ("id", "user", "text", "sent_at")}


def cores(messages: Iterable[Frame]) -> list[Frame]:
    """Return the required fields of several messages."""
    return [core(message) for message in messages]


class Person:
    """A user with one open socket."""

    def __init__(self, api: Api, socket: ClientConnection) -> None:
        self.api = api
        self.socket = socket
        self.user: Frame = who_is(api)
        self.received: list[Frame] = []

    def say(self, text: str, **fields: Any) -> None:
        """Send a message without waiting for its broadcast."""
        self.socket.send(json.dumps({"text": text, **fields}))

    def tell(self, text: str, **fields: Any) -> Frame:
        """Send a message and return its broadcast; after "too fast" send it again."""
        while True:
            self.say(text, **fields)
            answer = self.receive(
                lambda frame: _is_message(frame, text) or _is_too_fast(frame, fields)
            )
            if answer["type"] == "message":
                return answer
            time.sleep(TOO_FAST)

    def receive(self, wanted: Callable[[Frame], bool], *, within: float | None = None) -> Frame:
        """Return the next wanted frame; all frames are kept in `received`.

        The default time limit is that of an answer to a request.
        """
        __tracebackhide__ = True
        within = driver.ANSWER_WITHIN if within is None else within
        deadline = time.monotonic() + within
        while True:
            try:
                frame = self.socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise AssertionError(
                    f"not received in {within} s; received: {self.received[-5:]}"
                ) from None
            assert isinstance(frame, str), "expected a text frame, got a binary frame"
            decoded: Frame = json.loads(frame)
            self.received.append(decoded)
            if wanted(decoded):
                return decoded

    def message(self, text: str, *, within: float | None = None) -> Frame:
        """Return the message with this text."""
        return self.receive(lambda frame: _is_message(frame, text), within=within)

    def error(self) -> Frame:
        """Return the next error."""
        return self.receive(lambda frame: frame["type"] == "error")

    def presence(self, event: str, user: Frame, *, within: float | None = None) -> Frame:
        """Return the frame that reports that this user joined or left."""
        return self.receive(
            lambda frame: (
                frame["type"] == "presence"
                and frame["event"] == event
                and frame["user"]["id"] == user["id"]
            ),
            within=within,
        )

    def close_code(self, *, within: float | None = None) -> int:
        """Wait until the server closes the socket and return its code."""
        try:
            self.receive(lambda _: False, within=within)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006
        raise AssertionError("unreachable")

    def settle(self) -> list[Frame]:
        """Send a message, and return everything that was received before it."""
        self.tell(new_text("settled "))
        return self.received


def who_is(api: Api) -> Frame:
    """Return the signed-in user as the chat shows it."""
    answer = api.request("GET", "/users/me")
    assert answer.status_code == httpx.codes.OK
    return {name: answer.json()[name] for name in ("id", "username")}


@contextmanager
def person(api: Api, server: Addressed | None = None) -> Iterator[Person]:
    """Open a socket for the user of this driver, and wait until they have joined."""
    with open_socket(server or api, header=f"Bearer {api.token}") as socket:
        somebody = Person(api, socket)
        # The contract does not say whether the user also receives their own presence frame.
        with suppress(AssertionError):
            somebody.presence("joined", somebody.user, within=JOINED)
        yield somebody


def history(api: Api, **query: int) -> list[Frame]:
    """Return a page of messages."""
    answer = api.request("GET", "/chat/messages", params=query)
    assert answer.status_code == httpx.codes.OK, answer.text
    messages: list[Frame] = answer.json()
    return messages


def everything_after(api: Api, message_id: int) -> list[Frame]:
    """Return all messages after this one, page by page.

    A page that wrongly contains that message must not cause an endless loop here.
    """
    messages: list[Frame] = []
    while page := [
        message
        for message in history(api, after=message_id, limit=100)
        if message["id"] > message_id
    ]:
        messages += page
        message_id = page[-1]["id"]
    return messages
