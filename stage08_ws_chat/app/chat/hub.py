"""All connections of this process, and how a frame gets to all of them.

No client waits for another client: each connection has a short queue, and a task that sends the
frames in it. A client with a full queue is disconnected. Limit: one process.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from cachetools import TTLCache
from fastapi import WebSocket, WebSocketDisconnect, status
from pydantic import BaseModel

from app.chat.schemas import ChatUser, Heartbeat, Presence
from app.token_bucket import TokenBucket

QUEUE_SIZE = 256  # frames that may wait for one client
MESSAGES_A_SECOND = 5  # of one user, in all their sockets together
BURST = 20  # messages at once after a pause
MAX_BUCKETS = 10_000
BUCKET_TTL = 60  # seconds; by then a bucket is full again


class Connection:
    """One socket: a browser tab, or a program."""

    def __init__(self, websocket: WebSocket, user: ChatUser, seconds: float) -> None:
        self.user = user
        self.websocket = websocket
        # The visit ends after `seconds`, when the token expires, or earlier: see `end`.
        self.visit = asyncio.timeout(seconds)
        self.close_code = status.WS_1008_POLICY_VIOLATION
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_SIZE)

    def send(self, frame: str) -> None:
        """Put a frame into the queue without waiting. A client with a full queue is cut off."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
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
                await self.websocket.send_text(await self._queue.get())
        except RuntimeError:  # the server has closed the socket
            raise WebSocketDisconnect from None

    async def send_heartbeats(self, interval: float) -> None:
        """Send a heartbeat every `interval` seconds, until cancelled."""
        heartbeat = Heartbeat(interval=interval).model_dump_json()
        while True:
            await asyncio.sleep(interval)
            self.send(heartbeat)


class Hub:
    """The room of the chat."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._tabs: Counter[ChatUser] = Counter()
        # Kept after a user has left, so a new connection does not fill the bucket.
        self._buckets: TTLCache[int, TokenBucket] = TTLCache(MAX_BUCKETS, BUCKET_TTL)
        # Held while a message is stored and put into the queues, so each client gets ids in order.
        self.in_order = asyncio.Lock()

    @asynccontextmanager
    async def joined(self, connection: Connection) -> AsyncIterator[None]:
        """Keep the connection. A user joins with the first tab and leaves with the last."""
        user = connection.user
        self._connections.add(connection)
        self._tabs[user] += 1
        if self._tabs[user] == 1:
            self.broadcast(self._presence("joined", user))
        else:
            connection.send(self._presence("joined", user).model_dump_json())
        try:
            yield
        finally:
            self._connections.remove(connection)
            self._tabs[user] -= 1
            if self._tabs[user] == 0:
                del self._tabs[user]
                self.broadcast(self._presence("left", user))

    def sockets_of(self, user: ChatUser) -> int:
        """Return how many sockets the user has in the room."""
        return self._tabs[user]

    def is_too_fast(self, user: ChatUser) -> bool:
        """Count a frame of the user; return whether there were too many."""
        bucket = self._buckets.get(user.id) or TokenBucket(rate=MESSAGES_A_SECOND, capacity=BURST)
        self._buckets[user.id] = bucket  # its time to live starts again
        return bucket.take() > 0

    def broadcast(self, frame: BaseModel) -> None:
        """Put a frame into every queue. It is encoded as JSON only once."""
        text = frame.model_dump_json()
        for connection in self._connections:
            connection.send(text)

    def _presence(self, event: Literal["joined", "left"], user: ChatUser) -> Presence:
        online = sorted(self._tabs, key=lambda user: user.username.lower())
        return Presence(event=event, user=user, online=online)
