"""The socket, and the history for those who were away."""

from collections.abc import Coroutine, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from app.auth.dependencies import CurrentUser
from app.chat.hub import Connection, Hub
from app.chat.models import Message
from app.chat.schemas import MessageRead
from app.database import SessionDep
from app.parameters import MAX_INTEGER, Limit

CLOSE_TIMEOUT = 1  # seconds

router = APIRouter(tags=["chat"])

MessageId = Annotated[int, Query(ge=0, le=MAX_INTEGER)]


@router.get("/chat/messages", response_model=list[MessageRead])
async def list_messages(
    _user: CurrentUser,
    session: SessionDep,
    before: MessageId | None = None,
    after: MessageId | None = None,
    limit: Limit = 20,
) -> Sequence[Message]:
    """Return messages by id: the newest page, or the one before or after a message."""
    # TODO 8.5: The history is in the database and can be read
    raise NotImplementedError("TODO 8.5: The history is in the database and can be read")


@router.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    """Let a signed-in user chat until the client leaves, the token expires or the server stops."""
    # TODO 8.1: A user connects by WebSocket
    raise NotImplementedError("TODO 8.1: A user connects by WebSocket")


async def receive_messages(connection: Connection, hub: Hub) -> None:
    """Take the client's frames until it leaves: store each, then send it to everyone."""
    # TODO 8.2: Messages are sent and received in real time
    raise NotImplementedError("TODO 8.2: Messages are sent and received in real time")


async def finish(saying: Coroutine[None, None, str | None]) -> str | None:
    """Return what the coroutine returns; it goes on to its end also when we are cancelled.

    The visit may end at any moment. A message that is stored then has to reach everyone still:
    whoever is connected does not look for it in the history.
    """
    # TODO 8.4: The WebSocket handler is async
    raise NotImplementedError("TODO 8.4: The WebSocket handler is async")


async def say(frame: str, connection: Connection, hub: Hub) -> str | None:
    """Store a message and send it to everyone; return what is wrong with it, if anything is."""
    # TODO 8.4: The WebSocket handler is async
    raise NotImplementedError("TODO 8.4: The WebSocket handler is async")
