"""Messages in the database: storing one, and reading history."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.chat.models import Message
from app.chat.schemas import ChatUser, MessageRead, MessageWrite


class UserIsGone(Exception):
    """Whoever sent the message was deleted meanwhile."""


class ClientIdIsTaken(Exception):
    """The user has sent another text with the same `client_id`."""


async def store_message(
    message_in: MessageWrite, user: ChatUser, engine: AsyncEngine
) -> tuple[MessageRead, bool]:
    """Store a message; return it, and whether it is new: what was sent twice is stored once.

    Raises `UserIsGone` and `ClientIdIsTaken`.
    """
    # TODO 8.3: Every message is stored and tied to its user
    raise NotImplementedError("TODO 8.3: Every message is stored and tied to its user")


def as_read(message: Message, user: ChatUser) -> MessageRead:
    """Return a message as clients get it."""
    # TODO 8.3: Every message is stored and tied to its user
    raise NotImplementedError("TODO 8.3: Every message is stored and tied to its user")


async def read_messages(
    session: AsyncSession, *, before: int | None, after: int | None, limit: int
) -> Sequence[Message]:
    """Return up to `limit` messages by id: the first ones after `after`, else the last ones."""
    # TODO 8.5: The history is in the database and can be read
    raise NotImplementedError("TODO 8.5: The history is in the database and can be read")
