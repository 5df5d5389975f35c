"""Everyone who is connected to this process, and how a frame gets to all of them.

Nobody waits for anybody. A frame is written at once to a client that has taken all before it. For
any other it waits in a short queue of that client's own, and a task sends what is in there. A
client whose queue fills up is cut off.
"""

import asyncio
from collections import deque

from fastapi import WebSocket, WebSocketDisconnect, status
from pydantic import BaseModel
from starlette.types import Message

from app.chat.schemas import ChatUser
from app.middleware.force_close import SERVER_SIDE, ServerSide

QUEUE_SIZE = 256  # frames that may wait for one client

Frame = Message  # as the server takes it: made once, however many sockets it is for


def as_frame(content: BaseModel) -> Frame:
    """Return the frame that carries this as JSON."""
    return {"type": "websocket.send", "text": content.model_dump_json()}


class Connection:
    """One socket: a browser tab, or a program."""

    def __init__(self, websocket: WebSocket, user: ChatUser, seconds: float) -> None:
        self.user = user
        self.websocket = websocket
        # The visit ends after so many seconds, when the token expires, or earlier: see `end`.
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
        """Have the socket closed with this code, unless its visit has ended already."""
        if not self.visit.expired():
            self.close_code = code
            self.visit.reschedule(0)  # a time that is past

    async def send_queued(self) -> None:
        """Send what is in the queue, one frame after the other, until cancelled.

        Raises `WebSocketDisconnect` when the client is gone.
        """
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
