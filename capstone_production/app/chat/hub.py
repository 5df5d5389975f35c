"""Everyone who is connected to this process, how a frame gets to all of them, and the users there.

Nobody waits for anybody. A frame is written at once to a client that has taken all before it. For
any other it waits in a short queue of that client's own, and a task sends what is in there. A
client whose queue fills up is cut off.

A user is one person however many sockets they have, in however many processes. A user who comes in
is told at once who is there; the others are told of all changes together, ten times a second at
most. In a large room that changes quickly only some of them are told by name; `online` is always
complete.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect, status
from prometheus_client import Gauge
from pydantic import BaseModel
from starlette.types import Message

from app.chat.schemas import ChatUser, Presence
from app.middleware.force_close import SERVER_SIDE, ServerSide

QUEUE_SIZE = 256  # frames that may wait for one client
TELL_EVERY = 0.1  # seconds
MOST_TOLD = 50  # changes told by name at once: fewer than the frames that may wait for a client …
MOST_NAMES = 1_000_000  # … and as few as it takes not to send more names than this

CONNECTIONS = Gauge(
    "websocket_connections", "Sockets that are open now.", multiprocess_mode="livesum"
)

Frame = Message  # as the server takes it: made once, however many sockets it is for
Event = Literal["joined", "left"]


def as_frame(content: BaseModel) -> Frame:
    """Return the frame that carries this as JSON."""
    return {"type": "websocket.send", "text": content.model_dump_json()}


class Connection:
    """One socket: a browser tab, or a program."""

    def __init__(self, websocket: WebSocket, user: ChatUser, seconds: float) -> None:
        self.user = user
        self.websocket = websocket
        # The visit ends after `seconds`, when the token expires, or earlier: see `end`.
        self.visit = asyncio.timeout(seconds)
        self.close_code = status.WS_1008_POLICY_VIOLATION
        self._server_side: ServerSide = websocket.scope[SERVER_SIDE]
        self._waiting: deque[Frame] = deque()
        self._has_waiting = asyncio.Event()

    async def send(self, frame: Frame) -> None:
        """Send a frame, now or later, but never wait. A client whose queue is full is cut off."""
        if not self._waiting and self._has_taken_all():
            try:
                await self._server_side.send(frame)  # waits only while the transport is full
            except (OSError, RuntimeError):  # the client is gone
                self.end(status.WS_1001_GOING_AWAY)
        elif len(self._waiting) < QUEUE_SIZE:
            self._waiting.append(frame)
            self._has_waiting.set()
        else:
            self.end(status.WS_1013_TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Close the socket with this code, unless its visit has ended already."""
        if not self.visit.expired():
            self.close_code = code
            self.visit.reschedule(0)  # a time in the past: at once

    async def send_queued(self) -> None:
        """Send what is in the queue; raises `WebSocketDisconnect` when the client is gone."""
        try:
            while True:
                await self._has_waiting.wait()
                self._has_waiting.clear()
                while self._waiting:
                    await self._server_side.send(self._waiting[0])
                    # Only now, so that no later frame gets ahead of it.
                    self._waiting.popleft()
        except (OSError, RuntimeError):  # the server has closed the socket
            raise WebSocketDisconnect from None

    def _has_taken_all(self) -> bool:
        """Return whether all that was sent is out of our hands: waking a task would be in vain."""
        transport = self._server_side.transport
        return transport is not None and transport.get_write_buffer_size() == 0


class Hub:
    """The sockets of this process."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()

    async def broadcast(self, frame: Frame, *, besides: ChatUser | None = None) -> int:
        """Send a frame to everyone, `besides` not; return to how many sockets."""
        connections = list(self.connections)
        if besides is not None:
            connections = [each for each in connections if each.user != besides]
        for connection in connections:
            await connection.send(frame)
        await asyncio.sleep(0)  # this took a while: others' turn
        return len(connections)


class OnlineUsers:
    """Everyone who is there; tells the sockets of this process who came and who went."""

    def __init__(self, hub: Hub, here_changed: asyncio.Event) -> None:
        self.here: Counter[ChatUser] = Counter()  # with the number of their sockets
        self._here_changed = here_changed
        self._hub = hub
        self._elsewhere: Counter[ChatUser] = Counter()  # the same
        self._online: set[ChatUser] = set()  # both together
        self._to_tell: deque[tuple[Event, ChatUser]] = deque(maxlen=MOST_TOLD)
        self._changed = asyncio.Event()

    @contextmanager
    def counted(self, user: ChatUser) -> Iterator[None]:
        """Count a socket of the user: with the first one they join, with the last they leave."""
        self.here[user] += 1
        self._change_here()
        try:
            yield
        finally:
            self.here[user] -= 1
            if self.here[user] == 0:
                del self.here[user]
            self._change_here()

    @asynccontextmanager
    async def connected(self, connection: Connection) -> AsyncIterator[None]:
        """Have the connection get what everyone gets; first of all it is told who is there."""
        self._hub.connections.add(connection)
        CONNECTIONS.inc()
        try:
            await connection.send(self._frame("joined", connection.user))
            yield
        finally:
            self._hub.connections.remove(connection)
            CONNECTIONS.dec()

    def set_elsewhere(self, users: Iterable[ChatUser]) -> None:
        """Take note of who is connected to the other processes: a user for each socket."""
        self._elsewhere = Counter(users)
        self._change()

    def sockets_of(self, user: ChatUser) -> int:
        """Return how many sockets the user has, here and as far as we know elsewhere."""
        return self.here[user] + self._elsewhere[user]

    async def tell_changes(self) -> None:
        """Wait for a change, then tell everyone here."""
        await self._changed.wait()
        self._changed.clear()
        at_most = MOST_NAMES // (len(self._hub.connections) * len(self._online) + 1)
        changes = list(self._to_tell)[-max(1, at_most) :]
        self._to_tell.clear()
        for event, user in changes:
            # The user who has just come knows of it already.
            await self._hub.broadcast(self._frame(event, user), besides=user)

    def _change_here(self) -> None:
        self._change()
        self._here_changed.set()

    def _change(self) -> None:
        online = self.here.keys() | self._elsewhere.keys()
        self._to_tell += [("joined", user) for user in online - self._online]
        self._to_tell += [("left", user) for user in self._online - online]
        self._online = online
        self._changed.set()

    def _frame(self, event: Event, user: ChatUser) -> Frame:
        online = sorted(self._online, key=lambda user: user.username.lower())
        return as_frame(Presence(event=event, user=user, online=online))
