"""The socket, and the history for clients that were away."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect, status
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.chat.access import SUBPROTOCOL, find_principal
from app.chat.cluster.limits import MESSAGES_A_SECOND
from app.chat.hub import Connection, as_frame
from app.chat.models import Message
from app.chat.room import Room
from app.chat.schemas import MAX_FRAME, ErrorFrame, MessageRead, MessageWrite, client_id_of
from app.chat.service import ClientIdIsTaken, UserIsGone, read_messages
from app.dependencies import CurrentUser, SessionDep
from app.exceptions import errors, unavailable
from app.params import MAX_INTEGER, Limit

CLOSE_TIMEOUT = 1  # seconds

router = APIRouter(tags=["chat"])

MessageId = Annotated[int, Query(ge=0, le=MAX_INTEGER)]


@router.get("/chat/messages", response_model=list[MessageRead], responses=errors(401))
async def list_messages(
    _user: CurrentUser,
    session: SessionDep,
    before: MessageId | None = None,
    after: MessageId | None = None,
    limit: Limit = 20,
) -> Sequence[Message]:
    """Return messages by id: the newest page, or the one before or after a message."""
    return await read_messages(session, before=before, after=after, limit=limit)


@router.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    """Let a signed-in user chat until the client leaves, the token expires or the server stops."""
    try:
        principal = await find_principal(websocket, websocket.state.settings)
    except (SQLAlchemyError, OSError):  # the same answer as for a request
        answer = unavailable("The database is not available right now: try again")
        await websocket.send_denial_response(answer)
        return
    if principal is None:
        await websocket.close(status.WS_1008_POLICY_VIOLATION)  # before accept: the client gets 403
        return
    websocket.state.user_id = principal.user.id  # for the log
    remaining = (principal.expires_at - datetime.now(UTC)).total_seconds()
    connection = Connection(websocket, principal.user, remaining)
    room: Room = websocket.state.chat_room
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None
    try:
        # An error in one task cancels the other task; the visit's timeout cancels both.
        async with (
            connection.visit,
            room.joined(connection, subprotocol),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(receive_messages(connection, room))
            tasks.create_task(connection.send_queued())
    except* WebSocketDisconnect:
        pass  # the client has left, perhaps before it was accepted
    except* TimeoutError:
        # The client may be gone already, or may never read the closing frame.
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await websocket.close(connection.close_code)


async def receive_messages(connection: Connection, room: Room) -> None:
    """Store each frame and send it to all; raises `WebSocketDisconnect` when the client leaves."""
    while True:
        received = await connection.websocket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        text = received.get("text")
        if await room.limits.is_too_fast(connection.user):
            problem: str | None = f"Too fast: {MESSAGES_A_SECOND} messages a second are enough"
        elif text is None:
            problem = "A frame has to be text"
        elif len(text) > MAX_FRAME:
            problem = f"A frame has at most {MAX_FRAME} characters"
        else:
            problem = await say(text, connection, room)
        if problem is not None:
            error = ErrorFrame(detail=problem, client_id=client_id_of(text))
            await connection.send(as_frame(error))
            await asyncio.sleep(0)  # more frames may be here already: let other tasks run


async def say(frame: str, connection: Connection, room: Room) -> str | None:
    """Store and deliver a message; return the reason if that is not possible, else None."""
    try:
        message_in = MessageWrite.model_validate_json(frame)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    try:
        earlier = await room.batch_writer.store(message_in, connection.user)
    except UserIsGone:
        connection.end(status.WS_1008_POLICY_VIOLATION)  # the code for an invalid token
        return "The account does not exist any more"
    except ClientIdIsTaken:
        return "client_id: you have sent another text with the same client_id"
    except (SQLAlchemyError, OSError):
        return "The message could not be stored: try again"
    # A repeated message: the other sockets have it already. This socket gets it, too.
    if earlier is not None and room.delivery.has_delivered(earlier):
        await connection.send(as_frame(earlier))
    return None
