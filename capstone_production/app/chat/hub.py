"""Everyone who is connected to this process, and how a frame gets to all of them.

Nobody waits for anybody. A frame is written at once to a client that has taken all before it. For
any other it waits in a short queue of that client's own, and a task sends what is in there. Who
lets the queue fill up is cut off.
"""

import asyncio
from collections import deque
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect, status

from app.chat.hang_up import TRANSPORT
from app.chat.schemas import ChatUser

QUEUE_SIZE = 256  # frames that may wait for one client


class Connection:
    """One socket: a browser tab, or a program."""

    def __init__(self, websocket: WebSocket, user: ChatUser) -> None:
        self.user = user
        self.websocket = websocket
        # When the server has a reason to end it: the code to close with.
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = websocket.scope.get(TRANSPORT)
        self._waiting: deque[str] = deque()
        self._has_waiting = asyncio.Event()

    async def send(self, frame: str) -> None:
        """Send a frame, now or later, but never wait. A client whose queue is full is cut off."""
        if not self._waiting and self._has_taken_all():
            with suppress(RuntimeError, WebSocketDisconnect):  # it is gone: receiving tells, too
                await self.websocket.send_text(frame)  # waits only while the transport is full
        elif len(self._waiting) < QUEUE_SIZE:
            self._waiting.append(frame)
            self._has_waiting.set()
        else:
            self.end(status.WS_1013_TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Have the socket closed with this code, unless it has been ended before."""
        if not self.ended.done():
            self.ended.set_result(code)

    async def send_waiting(self) -> None:
        """Send what is in the queue, one frame after the other, until cancelled."""
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while self._waiting:
                await self.websocket.send_text(self._waiting[0])
                # Only now, so that no later frame gets ahead of it.
                self._waiting.popleft()

    def _has_taken_all(self) -> bool:
        """Return whether all that was sent is out of our hands: waking a task would be in vain."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0


class Hub:
    """The sockets of this process."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()

    async def broadcast(self, frame: str, *, besides: ChatUser | None = None) -> int:
        """Send a frame to everyone, `besides` not; return to how many sockets."""
        connections = [each for each in self.connections if each.user != besides]
        for connection in connections:
            await connection.send(frame)
        await asyncio.sleep(0)  # this took a while: others' turn
        return len(connections)
