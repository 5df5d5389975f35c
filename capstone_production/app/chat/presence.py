"""The users in the chat: here, and in the other processes, as far as we know.

A user is one person however many sockets they have, in however many processes. Who comes in is told
at once who is there; everybody else is told of all changes together, ten times a second at most. In
a large room that changes quickly only some of them are told by name; `online` is always complete.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from app.chat.hub import Connection, Frame, Hub, as_frame
from app.chat.metrics import CONNECTIONS
from app.chat.schemas import ChatUser, Presence

TELL_EVERY = 0.1  # seconds
MOST_TOLD = 50  # changes told by name at once: fewer than the frames that may wait for a client …
MOST_NAMES = 1_000_000  # … and as few as it takes not to send more names than this

Event = Literal["joined", "left"]


class WhoIsThere:
    """Everyone who is there; tells the sockets of this process who came and who went."""

    def __init__(self, hub: Hub, here_changed: asyncio.Event) -> None:
        self.here: Counter[ChatUser] = Counter()  # with the number of their sockets
        self._here_changed = here_changed
        self._hub = hub
        self._elsewhere: Counter[ChatUser] = Counter()  # the same
        self._online: set[ChatUser] = set()  # both together
        self._to_tell: deque[tuple[Event, ChatUser]] = deque(maxlen=MOST_TOLD)
        self._changed = asyncio.Event()

    @contextmanager
    def counted(self, user: ChatUser) -> Iterator[None]:
        """Count a socket of the user: with the first one they join, with the last they leave."""
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
        """Have the connection get what everyone gets; first of all it is told who is there."""
        self._hub.connections.add(connection)
        CONNECTIONS.inc()
        try:
            await connection.send(self._frame("joined", connection.user))
            yield
        finally:
            self._hub.connections.remove(connection)
            CONNECTIONS.dec()

    def set_elsewhere(self, users: Iterable[ChatUser]) -> None:
        """Take note of who is connected to the other processes: a user for each socket."""
        self._elsewhere = Counter(users)
        self._change()

    def sockets_of(self, user: ChatUser) -> int:
        """Return how many sockets the user has, here and as far as we know elsewhere."""
        return self.here[user] + self._elsewhere[user]

    async def tell_changes(self) -> None:
        """Wait for a change, then tell everyone here."""
        await self._changed.wait()
        self._changed.clear()
        at_most = MOST_NAMES // (len(self._hub.connections) * len(self._online) + 1)
        changes = list(self._to_tell)[-max(1, at_most) :]
        self._to_tell.clear()
        for event, user in changes:
            # Who has just come knows of it already.
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
