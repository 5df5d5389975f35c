"""How messages are stored: one after the other, and all that wait in one transaction.

A commit costs about as much for fifty messages as for one. What is stored is delivered, also when
its author has left meanwhile: whoever is connected does not look for it in the history.
"""

import asyncio
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chat.cluster.delivery import Delivery
from app.chat.metrics import MESSAGES_IN
from app.chat.schemas import ChatUser, MessageRead, MessageWrite
from app.chat.service import find_message, insert_messages

AT_ONCE = 50  # messages in one transaction; fewer than may wait for a client
MAY_WAIT = 1000  # messages; whoever sends more has to wait to be read


class UserIsGone(Exception):
    """The user who sent the message was deleted meanwhile."""


class ClientIdIsTaken(Exception):
    """The user has sent another text with the same `client_id`."""


class Incoming(NamedTuple):
    """A message that waits to be stored."""

    message: MessageWrite
    user: ChatUser
    # The stored message when it was stored earlier: it was sent twice. None when it is new.
    earlier: asyncio.Future[MessageRead | None]


class BatchWriter:
    """Takes the messages of all sockets of this process."""

    def __init__(self, engine: AsyncEngine, delivery: Delivery) -> None:
        self._engine = engine
        self._delivery = delivery
        self._waiting: asyncio.Queue[Incoming] = asyncio.Queue(MAY_WAIT)

    async def store(self, message: MessageWrite, user: ChatUser) -> MessageRead | None:
        """Store a message and have it delivered; what was stored earlier is returned instead.

        Raises `UserIsGone`, `ClientIdIsTaken`, and what the database raises. Whoever is cancelled
        has it stored still.
        """
        incoming = Incoming(message, user, asyncio.get_running_loop().create_future())
        await self._waiting.put(incoming)
        return await incoming.earlier

    async def store_waiting(self) -> None:
        """Wait for a message, then store all that wait, in the order in which they came."""
        batch = [await self._waiting.get()]
        while len(batch) < AT_ONCE and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        try:
            try:
                await self._store(batch)
            except IntegrityError:  # one was sent twice, or its author is gone: find out which
                for incoming in batch:
                    await self._store_alone(incoming)
        except Exception as error:  # each author hears of it, and may try again
            for incoming in batch:
                refuse(incoming, error)

    async def _store(self, batch: list[Incoming]) -> None:
        messages = await insert_messages(
            [(each.message, each.user) for each in batch], self._engine
        )
        MESSAGES_IN.inc(len(messages))
        for incoming, message in zip(batch, messages, strict=True):
            await self._delivery.deliver(message)
            answer(incoming, None)

    async def _store_alone(self, incoming: Incoming) -> None:
        try:
            await self._store([incoming])
        except IntegrityError:
            earlier = await find_message(incoming.message, incoming.user, self._engine)
            if earlier is None:  # so it was the other constraint: the user's
                refuse(incoming, UserIsGone())
            elif earlier.text != incoming.message.text:
                refuse(incoming, ClientIdIsTaken())
            else:
                answer(incoming, earlier)


def answer(incoming: Incoming, earlier: MessageRead | None) -> None:
    """Tell whoever waits, if they still do, that the message is stored."""
    if not incoming.earlier.done():
        incoming.earlier.set_result(earlier)


def refuse(incoming: Incoming, error: Exception) -> None:
    """Tell whoever waits, if they still do, that the message is not stored."""
    if not incoming.earlier.done():
        incoming.earlier.set_exception(error)
