"""Who is in the chat: here, and in the other processes, as far as we know.

A user is one person however many sockets they have, in however many processes. Who comes in is told
at once who is there; everybody else is told of all changes together, ten times a second at most. In
a large room that changes quickly only some of them are told by name; `online` is always complete.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from app.chat.hub import Connection, Hub
from app.chat.metrics import CONNECTIONS
from app.chat.schemas import ChatUser, Presence

TELL_EVERY = 0.1  # seconds
MOST_TOLD = 50  # changes told by name at once: fewer than the frames that may wait for a client …
MOST_NAMES = 1_000_000  # … and as few as it takes not to send more names than this


class WhoIsThere:
    """Everyone who is there; tells the sockets of this process who came and who went."""

    def __init__(self, hub: Hub, here_changed: asyncio.Event) -> None:
        self.here: Counter[ChatUser] = Counter()  # with the number of their sockets
        self._here_changed = here_changed
        self._hub = hub
        self._elsewhere: set[ChatUser] = set()
        self._told: set[ChatUser] = set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def joined(self, connection: Connection) -> AsyncIterator[None]:
        """Have the connection in the room; the first of a user joins, the last leaves."""
        user = connection.user
        self._hub.connections.add(connection)
        self.here[user] += 1
        CONNECTIONS.inc()
        self._change()
        try:
            frame = Presence(event="joined", user=user, online=self._online())
            await connection.send(frame.model_dump_json())
            yield
        finally:
            self._hub.connections.remove(connection)
            self.here[user] -= 1
            if self.here[user] == 0:
                del self.here[user]
            CONNECTIONS.dec()
            self._change()

    def set_elsewhere(self, users: Iterable[ChatUser]) -> None:
        """Take note of who is connected to the other processes."""
        self._elsewhere = set(users)
        self._changed.set()

    async def tell_changes(self) -> None:
        """Wait for a change, then tell everyone here."""
        await self._changed.wait()
        self._changed.clear()
        online = self._online()
        came, went = set(online) - self._told, self._told - set(online)
        self._told = set(online)
        at_most = MOST_NAMES // (len(self._hub.connections) * len(online) + 1)
        changes: list[tuple[Literal["joined", "left"], ChatUser]] = [
            *(("joined", user) for user in came),
            *(("left", user) for user in went),
        ]
        for event, user in changes[: max(1, min(at_most, MOST_TOLD))]:
            frame = Presence(event=event, user=user, online=online).model_dump_json()
            # Who has just come knows of it already.
            await self._hub.broadcast(frame, besides=user)

    def _change(self) -> None:
        self._changed.set()
        self._here_changed.set()

    def _online(self) -> list[ChatUser]:
        everyone = self.here.keys() | self._elsewhere
        return sorted(everyone, key=lambda user: user.username.lower())
