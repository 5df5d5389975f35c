"""Messages in the database: storing them in batches, and reading the history.

All waiting messages are stored in one transaction, because a commit costs about as much for fifty
as for one. A stored message is delivered even if its author has left meanwhile, since connected
clients do not read the history again.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from prometheus_client import Counter
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import joinedload

from app.chat.models import Message
from app.chat.schemas import ChatUser, MessageRead, MessageWrite

STORING = 0x63686174  # the number of this advisory lock in PostgreSQL; migrations have another one
AT_ONCE = 50  # messages in one transaction; fewer than a client's queue holds
MAY_WAIT = 1000  # messages; further sockets are not read until there is room

# The ids follow the order of the parameters, so the first message gets the lowest id.
INSERT = insert(Message).returning(Message.id, sort_by_parameter_order=True)

MESSAGES = Counter(
    "chat_messages", "Messages that came in and were stored, or went out, by socket.", ["direction"]
)
MESSAGES_IN = MESSAGES.labels("in")
MESSAGES_OUT = MESSAGES.labels("out")


class UserIsGone(Exception):
    """The user who sent the message was deleted meanwhile."""


class ClientIdIsTaken(Exception):
    """The user has sent another text with the same `client_id`."""


async def insert_messages(
    batch: Sequence[tuple[MessageWrite, ChatUser]], engine: AsyncEngine
) -> list[MessageRead]:
    """Store messages and return them, all or none.

    Raises `IntegrityError` when one was stored before, or its author is gone.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "user_id": user.id,
            "text": message.text,
            "client_id": message.client_id,
            "sent_at": now,
        }
        for message, user in batch
    ]
    async with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Held until the commit, so rows become visible in the order of their ids. So a reader
            # that sees a row has missed no earlier one. SQLite has one writer anyway.
            await connection.execute(select(func.pg_advisory_xact_lock(STORING)))
        ids = (await connection.scalars(INSERT, rows)).all()
    return [
        MessageRead(id=id_, user=user, text=message.text, sent_at=now, client_id=message.client_id)
        for id_, (message, user) in zip(ids, batch, strict=True)
    ]


async def find_message(
    message: MessageWrite, user: ChatUser, engine: AsyncEngine
) -> MessageRead | None:
    """Return the message that the user sent earlier with the same `client_id`, if there is one."""
    statement = (
        select(Message)
        .options(joinedload(Message.user))
        .where(Message.user_id == user.id, Message.client_id == message.client_id)
    )
    async with AsyncSession(engine) as session:
        stored = await session.scalar(statement)
    return MessageRead.model_validate(stored) if stored else None


async def read_messages(
    session: AsyncSession, *, before: int | None, after: int | None, limit: int
) -> Sequence[Message]:
    """Return up to `limit` messages by id: the first ones after `after`, else the last ones."""
    statement = select(Message).options(joinedload(Message.user)).limit(limit)
    if before is not None:
        statement = statement.where(Message.id < before)
    if after is not None:
        statement = statement.where(Message.id > after)
        return (await session.scalars(statement.order_by(Message.id))).all()
    newest_first = (await session.scalars(statement.order_by(Message.id.desc()))).all()
    return newest_first[::-1]


class Incoming(NamedTuple):
    """A message that waits to be stored."""

    message: MessageWrite
    user: ChatUser
    # For a repeated message the one that was stored earlier; for a new message None.
    earlier: asyncio.Future[MessageRead | None]


class Delivery(Protocol):
    """The interface of both kinds of delivery, local and shared."""

    async def deliver(self, message: MessageRead) -> None:
        """Deliver a message that was just stored."""

    def has_delivered(self, message: MessageRead) -> bool:
        """Return whether the sockets here have the message, so no later delivery will send it."""


class BatchWriter:
    """Stores the messages of all sockets of this process, in batches."""

    def __init__(self, engine: AsyncEngine, delivery: Delivery) -> None:
        self._engine = engine
        self._delivery = delivery
        self._waiting: asyncio.Queue[Incoming] = asyncio.Queue(MAY_WAIT)

    async def store(self, message: MessageWrite, user: ChatUser) -> MessageRead | None:
        """Store and deliver a new message; for a repeated one return the stored message.

        Raises `UserIsGone`, `ClientIdIsTaken`, and errors of the database. The message is stored
        even if the caller is cancelled.
        """
        incoming = Incoming(message, user, asyncio.get_running_loop().create_future())
        await self._waiting.put(incoming)
        return await incoming.earlier

    async def store_waiting(self) -> None:
        """Wait for a message, then store up to `AT_ONCE` waiting messages, in their order."""
        batch = [await self._waiting.get()]
        while len(batch) < AT_ONCE and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        try:
            try:
                await self._store(batch)
            except IntegrityError:  # one is a repeat, or its author is gone: store each alone
                for incoming in batch:
                    await self._store_alone(incoming)
        except Exception as error:  # each author gets an error frame, and may try again
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
            if earlier is None:  # so the foreign key failed: the user is gone
                refuse(incoming, UserIsGone())
            elif earlier.text != incoming.message.text:
                refuse(incoming, ClientIdIsTaken())
            else:
                answer(incoming, earlier)


def answer(incoming: Incoming, earlier: MessageRead | None) -> None:
    """Tell the waiting caller, if it still waits, that the message is stored."""
    if not incoming.earlier.done():
        incoming.earlier.set_result(earlier)


def refuse(incoming: Incoming, error: Exception) -> None:
    """Tell the waiting caller, if it still waits, that the message is not stored."""
    if not incoming.earlier.done():
        incoming.earlier.set_exception(error)
