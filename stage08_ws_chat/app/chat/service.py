"""Messages in the database: storing one, and reading history."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import joinedload

from app.chat.models import Message
from app.chat.schemas import ChatUser, MessageRead, MessageWrite


class UserIsGone(Exception):
    """The user who sent the message was deleted meanwhile."""


class ClientIdIsTaken(Exception):
    """The user has sent another text with the same `client_id`."""


async def store_message(
    message_in: MessageWrite, user: ChatUser, engine: AsyncEngine
) -> tuple[MessageRead, bool]:
    """Store a message; return it, and whether it is new. A repeated message is stored once.

    Raises `UserIsGone` and `ClientIdIsTaken`.
    """
    message = Message(
        user_id=user.id,
        text=message_in.text,
        client_id=message_in.client_id,
        sent_at=datetime.now(UTC),
    )
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            session.add(message)
            await session.commit()
    except IntegrityError:
        statement = select(Message).where(
            Message.user_id == user.id, Message.client_id == message_in.client_id
        )
        async with AsyncSession(engine) as session:
            stored = await session.scalar(statement)
        if stored is None:  # so the foreign key failed: the user is gone
            raise UserIsGone from None
        if stored.text != message_in.text:
            raise ClientIdIsTaken from None
        return as_read(stored, user), False
    return as_read(message, user), True


def as_read(message: Message, user: ChatUser) -> MessageRead:
    """Return a message as clients get it."""
    return MessageRead(
        id=message.id,
        user=user,
        text=message.text,
        sent_at=message.sent_at,
        client_id=message.client_id,
    )


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
