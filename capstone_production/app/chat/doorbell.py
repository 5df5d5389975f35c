"""The doorbell between the processes: "look again", said through Redis.

It carries no message, and promises nothing: a ring may get lost, or come twice. Whoever waits for
one looks again by themselves after a while, so without Redis everything goes on, only later.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from redis.asyncio import Redis

from app.chat.repeat import repeated

SILENCE = 15  # seconds: there is somebody who rings more often, so the connection must be dead


class Bell(StrEnum):
    """What there is to look at; the value is the channel in Redis."""

    MESSAGES = "chat:messages"
    PRESENCE = "chat:presence"


class Doorbell:
    """Rings in the other processes, and is heard when they ring."""

    def __init__(self, redis: Redis) -> None:
        self.process = uuid.uuid4().hex
        self.heard = {bell: asyncio.Event() for bell in Bell}
        self._redis = redis
        self._to_ring: set[Bell] = set()
        self._has_to_ring = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ring and listen."""
        async with repeated({self.send_rings: 0, self.listen: 0}):
            yield

    def ring(self, bell: Bell) -> None:
        """Have it rung soon, without waiting; rings that are still to be sent become one."""
        self._to_ring.add(bell)
        self._has_to_ring.set()

    async def send_rings(self) -> None:
        """Ring what is to be rung; `REDIS_ERRORS` when nobody can hear it."""
        await self._has_to_ring.wait()
        self._has_to_ring.clear()
        while self._to_ring:
            await self._redis.publish(self._to_ring.pop(), self.process)

    async def listen(self) -> None:
        """Hear the others until the connection is lost: `REDIS_ERRORS`."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(*Bell)
            while (message := await pubsub.get_message(timeout=SILENCE)) is not None:
                # The answer to `subscribe` counts as well: nobody knows what was missed before.
                if message["data"] != self.process.encode():
                    self.heard[Bell(message["channel"].decode())].set()
