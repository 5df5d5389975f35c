"""The other processes that serve the chat: notifications between them, and their online users.

A notification goes through Redis and says "look again". It carries no message, and it may get lost
or come twice. Each reader also looks again by itself after a while. So without Redis everything
still works, only later.

Each process keeps a note in Redis, with a number that grows each time. If a note has not changed
for `BELIEVED_FOR` seconds, its process counts as gone, with its users: it was killed, or it cannot
reach Redis. Each process measures this with its own clock, so clocks are never compared. A shorter
failure of Redis, or the loss of its data, changes nothing. After a longer one each process knows
only its own sockets.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis

from app.chat.hub import OnlineUsers
from app.chat.repeat import repeated
from app.chat.schemas import ChatUser
from app.redis_client import REDIS_ERRORS

SILENCE = 15  # seconds; every process publishes more often, so the connection must be dead
NOTES = "chat:processes"  # a hash of process → note, so no process searches for keys
TELL_EVERY = 3.0  # seconds
BELIEVED_FOR = 10.0  # seconds
PAUSE = 0.05  # seconds between two exchanges, so that one exchange carries many changes
NOTIFIED_WITHIN = 0.5  # seconds that a joining user waits for Redis


class Topic(StrEnum):
    """The kinds of notifications; the value is the channel in Redis."""

    MESSAGES = "chat:messages"
    PRESENCE = "chat:presence"


class Notifications:
    """Publishes notifications to the other processes, and receives theirs."""

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
        """Publish a notification soon, without waiting; pending ones of a topic become one."""
        self._pending.add(topic)
        self._has_pending.set()

    async def publish_pending(self) -> None:
        """Publish the pending notifications; raises `REDIS_ERRORS` when Redis does not answer."""
        await self._has_pending.wait()
        self._has_pending.clear()
        while self._pending:
            await self._redis.publish(self._pending.pop(), self.process)

    async def listen(self) -> None:
        """Receive notifications until the connection is lost; then raises `REDIS_ERRORS`."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(*Topic)
            while (message := await pubsub.get_message(timeout=SILENCE)) is not None:
                # The answer to `subscribe` counts as well, since earlier ones may have been missed.
                if message["data"] != self.process.encode():
                    self.received[Topic(message["channel"].decode())].set()


class Note(BaseModel):
    """The users who are connected to a process, one for each socket."""

    number: int
    users: list[ChatUser]


class Peer(NamedTuple):
    """Another process: its last note, and when the note arrived by our monotonic clock."""

    note: Note
    came_at: float


class Peers:
    """The other processes that serve the chat."""

    def __init__(
        self, online_users: OnlineUsers, redis: Redis, notifications: Notifications
    ) -> None:
        self._online_users = online_users
        self._redis = redis
        self._notifications = notifications
        self._process = notifications.process
        self._to_exchange = notifications.received[Topic.PRESENCE]
        self._own = Note(number=0, users=[])
        self._known: dict[str, Peer] = {}
        self._next_exchange = asyncio.Event()  # set at the end of the next exchange
        self._is_up = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Exchange notes; at the end, leave a note without users."""
        with suppress(*REDIS_ERRORS):
            await self._exchange([])
        async with repeated({self.exchange_notes: PAUSE}):
            yield
        with suppress(*REDIS_ERRORS):
            await self._exchange([])
            await self._redis.publish(Topic.PRESENCE, self._process)

    @property
    def are_there(self) -> bool:
        """Whether this process knows any other one."""
        return bool(self._known)

    async def notify(self) -> None:
        """Return when the others can see a change of this process, and it has read their notes.

        Without Redis it returns after `NOTIFIED_WITHIN` at most.
        """
        if self._is_up:
            exchange = self._next_exchange
            self._to_exchange.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(NOTIFIED_WITHIN):
                    await exchange.wait()

    async def exchange_notes(self) -> None:
        """Wait for a change in any process, at most `TELL_EVERY`; then write and read the notes."""
        is_time = False
        try:
            async with asyncio.timeout(TELL_EVERY):
                await self._to_exchange.wait()
        except TimeoutError:
            is_time = True
        self._to_exchange.clear()
        exchange, self._next_exchange = self._next_exchange, asyncio.Event()
        users, last = list(self._online_users.here.elements()), self._own.users
        try:
            await self._exchange(users)
            # A notification alone is not answered: the processes would notify each other forever.
            if is_time or users != last:
                self._notifications.publish(Topic.PRESENCE)
        except REDIS_ERRORS:
            self._is_up = False
            raise
        finally:  # notes become stale also while Redis is down
            fresh = self._known.keys() - self._stale()
            users = [user for name in fresh for user in self._known[name].note.users]
            self._online_users.set_elsewhere(users)
            exchange.set()

    async def _exchange(self, users: list[ChatUser]) -> None:
        own = Note(number=self._own.number + 1, users=users)
        stale = self._stale()
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hset(NOTES, self._process, own.model_dump_json())
            pipeline.expire(NOTES, round(BELIEVED_FOR))
            if stale:
                pipeline.hdel(NOTES, *stale)
            pipeline.hgetall(NOTES)
            *_, found = await pipeline.execute()
        self._own, self._is_up = own, True
        for name in stale:
            del self._known[name]
        for name, note in read_notes(found).items():
            known = self._known.get(name)
            if name != self._process and (known is None or known.note != note):
                self._known[name] = Peer(note, time.monotonic())

    def _stale(self) -> set[str]:
        """Return the processes whose notes have not changed for too long."""
        believed_since = time.monotonic() - BELIEVED_FOR
        return {name for name, each in self._known.items() if each.came_at < believed_since}


def read_notes(found: dict[bytes, bytes]) -> dict[str, Note]:
    """Return the notes by process. Unreadable notes, perhaps of another version, are left out."""
    notes: dict[str, Note] = {}
    for process, value in found.items():
        with suppress(ValidationError):
            notes[process.decode()] = Note.model_validate_json(value)
    return notes
