"""Many clients and one that does not read: every client receives every message quickly.

The tests print figures and add them to the report; they assert only bounds for any machine.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from itertools import cycle
from statistics import quantiles

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import Server
from tests.stage08.chat import LARGE, new_text, socket_address, who_is
from tests.stage08.stuck import stuck_client

pytestmark = [pytest.mark.craft, pytest.mark.alone]

PEOPLE = 100
SPEAKERS = 20
MESSAGES = 20  # in one measurement
BEAT = 0.1  # seconds between two messages
DEADLINE = 120.0
STOP_WITHIN = 5.0

Record = Callable[[str, object], None]


class Listener:
    """A socket that is always read. It records when each awaited text arrived."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[tuple[str, float]] = []
        self.joined: set[int] = set()
        self.left: set[int] = set()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with suppress(ConnectionClosed):
            await self._take_all()

    async def _take_all(self) -> None:
        async for data in self.socket:
            came = time.perf_counter()
            frame = json.loads(data)
            if frame["type"] == "message":
                self.heard.append((frame["text"][:40], came))
            elif frame["type"] == "presence":
                who = self.joined if frame["event"] == "joined" else self.left
                who.add(frame["user"]["id"])

    async def say(self, text: str) -> None:
        """Send a message."""
        await self.socket.send(json.dumps({"text": text}, ensure_ascii=False))


@asynccontextmanager
async def crowd(server: Server, tokens: Sequence[str]) -> AsyncIterator[list[Listener]]:
    """Connect a client for each of these tokens, a few at a time."""
    async with AsyncExitStack() as stack:
        limit = asyncio.Semaphore(10)

        async def enter(base_url: str, token: str) -> Listener:
            async with limit:
                socket = await connect(
                    socket_address(base_url),
                    additional_headers={"Authorization": f"Bearer {token}"},
                    proxy=None,
                    compression=None,
                    open_timeout=DEADLINE,
                    ping_interval=None,
                    max_size=LARGE,
                    max_queue=None,
                )
            stack.push_async_callback(close_soon, socket)
            return Listener(socket)

        everybody = zip(cycle(server.base_urls), tokens, strict=False)
        yield await asyncio.gather(*(enter(base_url, token) for base_url, token in everybody))


async def close_soon(socket: ClientConnection) -> None:
    """Close without waiting for the close frame of the other side."""
    socket.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; `AssertionError` at the deadline."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110 - what is waited for is in many places
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the condition is still false after {DEADLINE} s") from None


async def measure(people: list[Listener], filling: str) -> tuple[float, float]:
    """Send messages in turn; return p50 and p99 of the delivery times in milliseconds."""
    run = new_text()
    sent: dict[str, float] = {}
    for number in range(MESSAGES):
        text = f"{run} {number}".ljust(40)
        sent[text] = time.perf_counter()
        await people[number % SPEAKERS].say(text + filling)
        await asyncio.sleep(BEAT)
    texts = list(sent)
    own = [[pair for pair in each.heard if pair[0] in sent] for each in people]

    def all_heard() -> bool:
        own[:] = [[pair for pair in each.heard if pair[0] in sent] for each in people]
        return all(len(heard) >= MESSAGES for heard in own)

    await until(all_heard)
    first = [text for text, _ in own[0]]
    assert sorted(first) == sorted(texts)
    assert all([text for text, _ in heard] == first for heard in own)  # one order, no duplicates
    times = [(came - sent[text]) * 1000 for heard in own for text, came in heard]
    cuts = quantiles(times, n=100)
    return round(cuts[49], 1), round(cuts[98], 1)


def tokens_of(visitor: Api, count: int) -> list[str]:
    """Return the tokens of `count` new users."""
    return [visitor.as_new_user().token or "" for _ in range(count)]


@pytest.mark.requirement("8.7")
def test_a_client_that_does_not_read_does_not_delay_the_others(
    launch: Launch, record_property: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    server = launch()
    with Api(server) as visitor:
        tokens = tokens_of(visitor, PEOPLE)
        stuck = visitor.as_new_user()
        user = who_is(stuck)["id"]

        async def scenario() -> dict[str, tuple[float, float]]:
            async with crowd(server, tokens) as people:
                await measure(people, "")  # waits until all have joined, and warms up the server
                figures = {"short": await measure(people, "")}
                figures["long"] = await measure(people, "x" * 1900)
                with stuck_client(stuck):
                    # The join sends a long presence frame to everyone, so it is not measured.
                    await until(lambda: all(user in each.joined for each in people))
                    figures["long, one does not read"] = await measure(people, "x" * 1900)
                return figures

        figures = asyncio.run(scenario())
    for name, (p50, p99) in figures.items():
        record_property(name, (p50, p99))
        with capsys.disabled():
            print(f"\n{PEOPLE} people, {name}: p50 {p50} ms, p99 {p99} ms", end="")
    alone, beside = figures["long"][1], figures["long, one does not read"][1]
    assert beside < 4 * alone + 2000
    assert "Traceback" not in server.log_text()


@pytest.mark.requirement("8.7")
@pytest.mark.contract("C15")
def test_a_client_that_never_reads_is_disconnected(
    launch: Launch, record_property: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system buffers megabytes for the client, so the test sends many long messages."""
    server = launch()
    emoji = "😀" * 1900  # four bytes each
    with Api(server) as visitor, ExitStack() as stack:
        tokens = tokens_of(visitor, 2 * SPEAKERS)
        stuck = visitor.as_new_user()
        user = who_is(stuck)["id"]

        async def scenario() -> dict[str, tuple[float, float]]:
            async with crowd(server, tokens) as people:
                figures = {"no stuck client": await measure(people, "")}
                with stuck_client(stuck):

                    async def speak(somebody: Listener) -> None:
                        for number in range(40):
                            await somebody.say(new_text().ljust(40) + emoji)
                            await asyncio.sleep(0 if number < 18 else 0.25)

                    speaking = [asyncio.create_task(speak(each)) for each in people[SPEAKERS:]]
                    await until(lambda: user in people[0].left)
                    await asyncio.gather(*speaking)
                    end = new_text()
                    await people[0].say(end)  # the last message: after it all queues are empty
                    await until(lambda: all(end in dict(each.heard) for each in people))
                    figures["after the disconnection"] = await measure(people, "")
                    assert all(user in each.left for each in people)
                    # A client that is stuck but still connected must not delay the stop.
                    stack.enter_context(stuck_client(stuck))
                    asked = time.monotonic()
                    await asyncio.to_thread(server.stop)
                    assert time.monotonic() - asked < STOP_WITHIN
                return figures

        figures = asyncio.run(scenario())
    for name, (p50, p99) in figures.items():
        record_property(name, (p50, p99))
        with capsys.disabled():
            print(f"\n{2 * SPEAKERS} people, {name}: p50 {p50} ms, p99 {p99} ms", end="")
    assert "Traceback" not in server.log_text()
