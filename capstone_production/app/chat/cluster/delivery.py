"""Delivers each stored message to the sockets of every process, whichever process has stored it.

Rows become visible in the order of their ids (see `service.py`). So each process remembers the last
id that it has delivered, reads the later rows, and sends them to its sockets: each message once, in
order. A notification only says when to look. Without notifications, while Redis is down, a process
looks each second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.chat.cluster.peers import Notifications, Topic
from app.chat.hub import Hub, as_frame
from app.chat.models import Message
from app.chat.repeat import repeated
from app.chat.schemas import MessageRead
from app.chat.service import MESSAGES_OUT, read_messages

LOOK_EVERY = 1.0  # seconds
PAUSE = 0.005  # seconds between two reads, so that under load one read finds many messages
PAGE = 100  # messages at once: fewer than a client's queue holds, so catching up closes no socket


class SharedDelivery:
    """Several processes store messages in one database."""

    def __init__(self, hub: Hub, engine: AsyncEngine, notifications: Notifications) -> None:
        self._hub = hub
        self._engine = engine
        self._notifications = notifications
        self._to_look = notifications.received[Topic.MESSAGES]
        self._delivered = 0

    async def deliver(self, message: MessageRead) -> None:  # noqa: ARG002 - found by its id
        """Wake the delivery, here and in the other processes."""
        self._to_look.set()
        self._notifications.publish(Topic.MESSAGES)

    def has_delivered(self, message: MessageRead) -> bool:
        """Return whether the message was sent to the sockets of this process."""
        return message.id <= self._delivered

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver the messages that are stored from now on."""
        async with AsyncSession(self._engine) as session:
            self._delivered = await session.scalar(select(func.max(Message.id))) or 0
        async with repeated({self.deliver_new: PAUSE}):
            yield

    async def deliver_new(self) -> None:
        """Wait for a notification, at most `LOOK_EVERY`; then send all new messages."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self._to_look.wait()
        self._to_look.clear()
        while True:
            async with AsyncSession(self._engine) as session:
                page = await read_messages(session, before=None, after=self._delivered, limit=PAGE)
            for message in page:
                frame = as_frame(MessageRead.model_validate(message))
                self._delivered = message.id
                MESSAGES_OUT.inc(await self._hub.broadcast(frame))
            if len(page) < PAGE:
                return
