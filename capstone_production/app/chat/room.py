"""The chat of this process. It is the only process, or Redis connects it with others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from fastapi import WebSocketDisconnect, status
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chat.cluster.delivery import SharedDelivery
from app.chat.cluster.limits import MessageLimits
from app.chat.cluster.peers import Notifications, Peers, Topic
from app.chat.hub import TELL_EVERY, Connection, Hub, OnlineUsers, as_frame
from app.chat.repeat import Step, repeated
from app.chat.schemas import Heartbeat, MessageRead
from app.chat.service import MESSAGES_OUT, BatchWriter, Delivery
from app.config import Settings


class LocalDelivery:
    """Sends each stored message directly to the sockets, since one process has all of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def deliver(self, message: MessageRead) -> None:
        """Send the message to all sockets."""
        MESSAGES_OUT.inc(await self._hub.broadcast(as_frame(message)))

    def has_delivered(self, message: MessageRead) -> bool:  # noqa: ARG002 - it always has
        """Return True: a message is sent when it is stored."""
        return True


@dataclass(frozen=True)
class Room:
    """The parts that a socket needs."""

    online_users: OnlineUsers
    peers: Peers | None  # None when this process is alone
    batch_writer: BatchWriter
    delivery: Delivery
    limits: MessageLimits
    sockets_per_user: int

    @asynccontextmanager
    async def joined(self, connection: Connection, subprotocol: str | None) -> AsyncIterator[None]:
        """Accept the connection, and keep it in the room; raises `WebSocketDisconnect`.

        It refuses a user who has too many sockets, in all processes together.
        """
        with self.online_users.counted(connection.user):
            if self.peers is not None:
                await self.peers.notify()
            try:
                await connection.websocket.accept(subprotocol)
            except OSError:  # the client is gone already
                raise WebSocketDisconnect(status.WS_1006_ABNORMAL_CLOSURE) from None
            try:
                if self.online_users.sockets_of(connection.user) > self.sockets_per_user:
                    reason = f"Too many sockets: a user may have {self.sockets_per_user}"
                    with suppress(RuntimeError):  # the client is gone already
                        await connection.websocket.close(status.WS_1013_TRY_AGAIN_LATER, reason)
                    raise WebSocketDisconnect(status.WS_1013_TRY_AGAIN_LATER)
                # No other task runs before the yield, so this connection misses no message.
                async with self.online_users.connected(connection):
                    yield
            finally:
                # The user may have a socket in another process, and has then not left.
                if self.peers is not None:
                    await self.peers.notify()


@asynccontextmanager
async def open_room(
    engine: AsyncEngine, redis: Redis | None, settings: Settings
) -> AsyncIterator[Room]:
    """Yield the room. The start succeeds also while Redis is down."""
    hub = Hub()
    async with AsyncExitStack() as stack:
        peers: Peers | None = None
        delivery: Delivery
        if redis is None:
            online_users = OnlineUsers(hub, asyncio.Event())
            delivery = LocalDelivery(hub)
        else:
            notifications = Notifications(redis)
            online_users = OnlineUsers(hub, notifications.received[Topic.PRESENCE])
            delivery = shared = SharedDelivery(hub, engine, notifications)
            peers = Peers(online_users, redis, notifications)
            for part in (notifications, shared, peers):
                await stack.enter_async_context(part.running())
        batch_writer = BatchWriter(engine, delivery)
        heartbeat = as_frame(Heartbeat(interval=settings.chat_heartbeat))

        async def send_heartbeat() -> None:
            await hub.broadcast(heartbeat)

        steps: dict[Step, float] = {
            batch_writer.store_waiting: 0,
            online_users.tell_changes: TELL_EVERY,
            send_heartbeat: settings.chat_heartbeat,
        }
        await stack.enter_async_context(repeated(steps))
        yield Room(
            online_users,
            peers,
            batch_writer,
            delivery,
            MessageLimits(redis, peers),
            settings.chat_sockets_per_user,
        )
