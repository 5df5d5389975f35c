"""The sockets of this process, the broadcast of a frame to all of them, and the online users.

No client waits for another one. A frame is written at once to a client that has received all
earlier frames. For any other client it waits in a short queue, and a separate task sends the queue.
The server closes the socket of a client whose queue is full.

A user counts once, with any number of sockets in any number of processes. A user who joins receives
the list of online users at once. The others receive changes together, at most ten times a second.
In a large room with many changes only some changes are named, but `online` is always complete.
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
MOST_TOLD = 50  # changes in one round: fewer than the frames in a client's queue
MOST_NAMES = 1_000_000  # usernames sent in one round, so a large room gets fewer changes

CONNECTIONS = Gauge("websocket_connections", "Open sockets.", multiprocess_mode="livesum")

Frame = Message  # in the server's form, so it is made once for all sockets
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
        """Send a frame, now or later, but never wait. A full queue closes the socket (1013)."""
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
                    # After the send, so that no later frame overtakes this one.
                    self._waiting.popleft()
        except (OSError, RuntimeError):  # the server has closed the socket
            raise WebSocketDisconnect from None

    def _has_taken_all(self) -> bool:
        """Return whether the transport has sent everything, so that no task has to wait for it."""
        transport = self._server_side.transport
        return transport is not None and transport.get_write_buffer_size() == 0


class Hub:
    """The sockets of this process."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()

    async def broadcast(self, frame: Frame, *, besides: ChatUser | None = None) -> int:
        """Send a frame to all sockets except those of `besides`; return their number."""
        connections = list(self.connections)
        if besides is not None:
            connections = [each for each in connections if each.user != besides]
        for connection in connections:
            await connection.send(frame)
        await asyncio.sleep(0)  # lets other tasks run after a long loop
        return len(connections)


class OnlineUsers:
    """The online users; tells the sockets of this process who has joined and who has left."""

    def __init__(self, hub: Hub, here_changed: asyncio.Event) -> None:
        self.here: Counter[ChatUser] = Counter()  # the number of sockets of each user
        self._here_changed = here_changed
        self._hub = hub
        self._elsewhere: Counter[ChatUser] = Counter()  # the same, in the other processes
        self._online: set[ChatUser] = set()  # the users of both
        self._to_tell: deque[tuple[Event, ChatUser]] = deque(maxlen=MOST_TOLD)
        self._changed = asyncio.Event()

    @contextmanager
    def counted(self, user: ChatUser) -> Iterator[None]:
        """Count a socket. A user joins with the first socket, and leaves with the last one."""
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
        """Add the connection to the hub; its first frame lists the online users."""
        self._hub.connections.add(connection)
        CONNECTIONS.inc()
        try:
            await connection.send(self._frame("joined", connection.user))
            yield
        finally:
            self._hub.connections.remove(connection)
            CONNECTIONS.dec()

    def set_elsewhere(self, users: Iterable[ChatUser]) -> None:
        """Set the users of the other processes: one entry for each socket."""
        self._elsewhere = Counter(users)
        self._change()

    def sockets_of(self, user: ChatUser) -> int:
        """Return the number of the user's sockets, here and, as far as known, elsewhere."""
        return self.here[user] + self._elsewhere[user]

    async def tell_changes(self) -> None:
        """Wait for a change, then tell the sockets of this process."""
        await self._changed.wait()
        self._changed.clear()
        at_most = MOST_NAMES // (len(self._hub.connections) * len(self._online) + 1)
        changes = list(self._to_tell)[-max(1, at_most) :]
        self._to_tell.clear()
        for event, user in changes:
            # The user's own sockets already have the list.
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
