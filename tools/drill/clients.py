"""Clients of the two API processes that retry while parts of the stack break.

They send requests like the gateway: when one process gives no answer, they ask the other at once.
That is safe for reads and for writes with an `Idempotency-Key`. (nginx does not repeat a POST and
leaves that to the client.) If both fail, the client sees an error and tries again with the same key
until it gets an answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Sequence
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tools.drill.record import CHAT, JOB, READ, WRITE, Record

PAUSE = 0.25  # seconds between two requests of one client
TRY_AGAIN = 0.5  # seconds
CONNECTS_WITHIN = 1.0  # as the gateway's proxy_connect_timeout
ANSWERS_WITHIN = 60.0  # as its proxy_read_timeout
CHAT_ANSWERS_WITHIN = 10.0
PAGE = 100

Json = dict[str, Any]


class Gateway:
    """Sends requests to one process, and to the other when the first does not answer."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.record = Record()
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=httpx.Timeout(ANSWERS_WITHIN, connect=CONNECTS_WITHIN),
            # Each request opens a connection, as in the gateway, so none is stale.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def request(
        self, first: int, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """Return the answer of process `first`, else of the other one, else None."""
        for address in (self.addresses[first], self.addresses[1 - first]):
            self.record.attempts += 1
            try:
                answer = await self._client.request(method, address + path, **options)
            except httpx.TransportError:
                self.record.failed_attempts += 1
                continue
            if answer.is_server_error:
                self.record.failed_attempts += 1
            return answer
        return None

    async def new_user(self) -> dict[str, str]:
        """Register a user, sign in, and return the `Authorization` header."""
        name = f"drill-{secrets.token_hex(6)}"
        person = {"username": name, "password": secrets.token_hex(12)}
        await self.request(0, "POST", "/auth/register", json=person)
        answer = await self.request(0, "POST", "/auth/token", data=person)
        if answer is None or not answer.is_success:
            raise RuntimeError(f"could not sign in: {what(answer)}")
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


class Clients:
    """The programs of one user: two of each kind, one for each process."""

    def __init__(self, gateway: Gateway, user: dict[str, str], drill: str) -> None:
        self._gateway = gateway
        self._record = gateway.record
        self._user = user
        self._drill = drill
        self._todos: dict[str, int] = {}  # those that were acknowledged, by title
        self.stopping = False

    def new_text(self) -> str:
        """Return a text that was never sent before."""
        return f"{self._drill} {secrets.token_hex(8)}"

    async def write(self, first: int) -> None:
        """Create todos until the drill ends."""
        while not self.stopping:
            title = self.new_text()
            answer = await self.insist(WRITE, first, "/todos", {"title": title})
            if answer is not None:
                self._todos[title] = answer["id"]
            await asyncio.sleep(PAUSE)

    async def send_jobs(self, first: int) -> None:
        """Create jobs until the drill ends."""
        while not self.stopping:
            await self.insist(JOB, first, "/jobs", {"text": self.new_text()})
            await asyncio.sleep(2 * PAUSE)

    async def insist(self, kind: str, first: int, path: str, body: Json) -> Json | None:
        """Post until the server acknowledges it; return the answer, or None after the drill."""
        text = body.get("title") or body["text"]
        headers = {**self._user, "Idempotency-Key": text}
        while not self.stopping:
            answer = await self._gateway.request(first, "POST", path, json=body, headers=headers)
            if answer is not None and answer.is_success:
                self._record.good(kind)
                self._record.acknowledged[kind].append(text)
                created: Json = answer.json()
                return created
            self._record.error(kind, what(answer))
            await asyncio.sleep(TRY_AGAIN)
        return None

    async def try_once(self, first: int) -> bool:
        """Try once to create a todo, as one of a crowd; an error is not counted."""
        title = self.new_text()
        headers = {**self._user, "Idempotency-Key": title}
        body = {"title": title}
        answer = await self._gateway.request(first, "POST", "/todos", json=body, headers=headers)
        stored = answer is not None and answer.is_success
        if stored:
            self._record.acknowledged[WRITE].append(title)
        return stored

    async def send_file(self, content: bytes) -> str:
        """Create one long job; return its id."""
        text = self.new_text()
        answer = await self._gateway.request(
            0, "POST", "/jobs/file", headers={**self._user, "Idempotency-Key": text},
            files={"file": ("text.txt", text.encode() + b"\n" + content, "text/plain")},
        )  # fmt: skip
        if answer is None or not answer.is_success:
            raise RuntimeError(f"/jobs/file: {what(answer)}")
        self._record.acknowledged[JOB].append(text)
        job_id: str = answer.json()["id"]
        return job_id

    async def read(self, first: int) -> None:
        """Read acknowledged todos by id until the drill ends."""
        while not self.stopping:
            if self._todos:
                title = random.choice(list(self._todos))  # noqa: S311 - no secret
                path = f"/todos/{self._todos[title]}"
                answer = await self._gateway.request(first, "GET", path, headers=self._user)
                if answer is not None and answer.is_success and answer.json()["title"] == title:
                    self._record.good(READ)
                else:
                    self._record.error(READ, what(answer))
            await asyncio.sleep(PAUSE)

    async def speak(self, first: int, user: dict[str, str]) -> None:
        """Send chat messages; repeat each with the same `client_id` until it comes back."""
        turn = first
        text = self.new_text()
        while not self.stopping:
            try:
                async with open_socket(self._gateway.addresses[turn], user) as socket:
                    while not self.stopping:
                        await self._say(socket, text)
                        text = self.new_text()
                        await asyncio.sleep(PAUSE)
            except NO_CHAT as error:
                self._record.failed_attempts += 1
                self._record.error(CHAT, said(error))
                turn = 1 - turn
                await asyncio.sleep(TRY_AGAIN)

    async def _say(self, socket: ClientConnection, text: str) -> None:
        self._record.attempts += 1
        await socket.send(json.dumps({"text": text, "client_id": text}))
        async with asyncio.timeout(CHAT_ANSWERS_WITHIN):
            async for frame in socket:
                received = json.loads(frame)
                if received["type"] == "error":
                    raise Refused("error frame")
                if received["type"] == "message" and received["text"] == text:
                    self._record.good(CHAT)
                    self._record.acknowledged[CHAT].append(text)
                    return
        raise Refused("socket closed")

    async def listen(self, first: int, user: dict[str, str], last: int) -> None:
        """Receive all messages after one: live, and after a reconnect from the history.

        Does not return; the caller cancels it.
        """
        turn = first
        heard: set[int] = set()

        def hear(message: Json) -> None:
            nonlocal last
            last = max(last, message["id"])
            if message["id"] not in heard:  # the history may repeat it
                self._record.heard.append(message["text"])
                heard.add(message["id"])

        while True:
            on_this_socket: set[int] = set()
            try:
                async with open_socket(self._gateway.addresses[turn], user) as socket:
                    for message in await self.history(turn, user, last):
                        hear(message)
                    async for frame in socket:
                        message = json.loads(frame)
                        if message["type"] == "message":
                            if message["id"] in on_this_socket:
                                self._record.heard_twice.append(message["text"])
                            on_this_socket.add(message["id"])
                            hear(message)
            except NO_CHAT:
                await asyncio.sleep(TRY_AGAIN)
            turn = 1 - turn

    async def history(self, turn: int, user: dict[str, str], after: int) -> list[Json]:
        """Return all messages after one, page by page; raise `Refused` without an answer."""
        messages: list[Json] = []
        while True:
            parameters = {"after": messages[-1]["id"] if messages else after, "limit": PAGE}
            answer = await self._gateway.request(
                turn, "GET", "/chat/messages", params=parameters, headers=user
            )
            if answer is None or not answer.is_success:
                raise Refused(what(answer))
            page = answer.json()
            messages += page
            if len(page) < PAGE:
                return messages


class Refused(Exception):
    """The chat answered with an error, or did not answer."""


NO_CHAT = (WebSocketException, OSError, TimeoutError, Refused)


def open_socket(address: str, user: dict[str, str]) -> connect:
    """Return a connection to the chat, for `async with`."""
    return connect(
        address.replace("http", "ws", 1) + "/ws/chat",
        additional_headers=user,
        proxy=None,
        open_timeout=CHAT_ANSWERS_WITHIN,
        close_timeout=1,
        max_queue=None,
    )


def said(error: Exception) -> str:
    """Return the error that a chat client saw, in one or two words."""
    if isinstance(error, ConnectionClosed):
        return "socket closed"
    return str(error) if isinstance(error, Refused) else type(error).__name__


def what(answer: httpx.Response | None) -> str:
    """Return the result that a client saw, in one word."""
    return "no answer" if answer is None else str(answer.status_code)
