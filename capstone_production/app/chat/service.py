"""Messages in the database: storing some, and reading history."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import joinedload

from app.chat.models import Message
from app.chat.schemas import ChatUser, MessageRead, MessageWrite

STORING = 0x63686174  # the number of our lock in PostgreSQL; migrations have another

# In the order of the parameters: whoever came first gets the lower id.
INSERT = insert(Message).returning(Message.id, sort_by_parameter_order=True)


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
            # Held until the commit, so rows become visible in the order of their ids: whoever has
            # read up to one of them has missed none. SQLite has one writer anyway.
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
