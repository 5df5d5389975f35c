"""Notifications between the processes: "look again", published through Redis.

A notification carries no message and promises nothing: it may get lost, or come twice. Each reader
also looks again by itself after a while, so without Redis everything goes on, only later.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from redis.asyncio import Redis

from app.chat.repeat import repeated

SILENCE = 15  # seconds: some process publishes more often, so the connection must be dead


class Topic(StrEnum):
    """The kinds of news; the value is the channel in Redis."""

    MESSAGES = "chat:messages"
    PRESENCE = "chat:presence"


class Notifications:
    """Publishes to the other processes, and receives what they publish."""

    def __init__(self, redis: Redis) -> None:
        self.process = uuid.uuid4().hex
        self.received = {topic: asyncio.Event() for topic in Topic}
        self._redis = redis
        self._pending: set[Topic] = set()
        self._has_pending = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish and listen."""
        async with repeated({self.publish_pending: 0, self.listen: 0}):
            yield

    def publish(self, topic: Topic) -> None:
        """Have it published soon, without waiting; pending ones of a topic become one."""
        self._pending.add(topic)
        self._has_pending.set()

    async def publish_pending(self) -> None:
        """Publish what is pending; raises `REDIS_ERRORS` when Redis does not answer."""
        await self._has_pending.wait()
        self._has_pending.clear()
        while self._pending:
            await self._redis.publish(self._pending.pop(), self.process)

    async def listen(self) -> None:
        """Receive from the others until the connection is lost: raises `REDIS_ERRORS`."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(*Topic)
            while (message := await pubsub.get_message(timeout=SILENCE)) is not None:
                # The answer to `subscribe` counts as well: nobody knows what was missed before.
                if message["data"] != self.process.encode():
                    self.received[Topic(message["channel"].decode())].set()
