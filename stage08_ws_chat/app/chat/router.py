"""The socket, and the history for clients that were away."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect, status
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.chat.access import SUBPROTOCOL, find_principal
from app.chat.hub import MESSAGES_A_SECOND, Connection, Hub
from app.chat.models import Message
from app.chat.schemas import MAX_FRAME, ErrorFrame, MessageRead, MessageWrite, client_id_of
from app.chat.service import ClientIdIsTaken, UserIsGone, read_messages, store_message
from app.config import Settings
from app.dependencies import CurrentUser, SessionDep
from app.exceptions import errors
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
    settings: Settings = websocket.state.settings
    principal = await find_principal(websocket, settings)
    if principal is None:
        await websocket.close(status.WS_1008_POLICY_VIOLATION)  # before accept: the client gets 403
        return
    wants_subprotocol = SUBPROTOCOL in websocket.scope["subprotocols"]
    try:
        await websocket.accept(SUBPROTOCOL if wants_subprotocol else None)
    except OSError:  # the client is gone already
        return
    hub: Hub = websocket.state.hub
    most = settings.chat_sockets_per_user
    if hub.sockets_of(principal.user) >= most:
        reason = f"Too many sockets: a user may have {most}"
        with suppress(RuntimeError, WebSocketDisconnect):  # the client is gone already
            await websocket.close(status.WS_1013_TRY_AGAIN_LATER, reason)
        return
    remaining = (principal.expires_at - datetime.now(UTC)).total_seconds()
    connection = Connection(websocket, principal.user, remaining)
    try:
        # An error in one task cancels the others; the visit's timeout cancels all.
        async with connection.visit, hub.joined(connection), asyncio.TaskGroup() as tasks:
            tasks.create_task(receive_messages(connection, hub))
            tasks.create_task(connection.send_queued())
            tasks.create_task(connection.send_heartbeats(settings.chat_heartbeat))
    except* WebSocketDisconnect:
        pass  # the client has left
    except* TimeoutError:
        # The client may be gone already, or may never read the closing frame.
        with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await websocket.close(connection.close_code)


async def receive_messages(connection: Connection, hub: Hub) -> None:
    """Store each frame and send it to all; raises `WebSocketDisconnect` when the client leaves."""
    while True:
        received = await connection.websocket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        text = received.get("text")
        if hub.is_too_fast(connection.user):
            problem: str | None = f"Too fast: {MESSAGES_A_SECOND} messages a second are enough"
        elif text is None:
            problem = "A frame has to be text"
        elif len(text) > MAX_FRAME:
            problem = f"A frame has at most {MAX_FRAME} characters"
        else:
            problem = await finish(say(text, connection, hub))
        if problem is not None:
            error = ErrorFrame(detail=problem, client_id=client_id_of(text))
            connection.send(error.model_dump_json())
            await asyncio.sleep(0)  # more frames may be here already: let other tasks run


async def finish(saying: Coroutine[None, None, str | None]) -> str | None:
    """Return the result of the coroutine, which runs to its end even if we are cancelled."""
    # A visit may end at any moment, but a message that is stored must still reach everyone.
    task = asyncio.create_task(saying)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


async def say(frame: str, connection: Connection, hub: Hub) -> str | None:
    """Store a message and send it to everyone; return the problem, or None."""
    try:
        message_in = MessageWrite.model_validate_json(frame)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    async with hub.in_order:
        try:
            message, is_new = await store_message(
                message_in, connection.user, connection.websocket.state.engine
            )
        except UserIsGone:
            connection.end(status.WS_1008_POLICY_VIOLATION)  # the code for an invalid token
            return "The account does not exist any more"
        except ClientIdIsTaken:
            return "client_id: you have sent another text with the same client_id"
        except SQLAlchemyError:
            return "The message could not be stored: try again"
        if is_new:
            hub.broadcast(message)
        else:
            connection.send(message.model_dump_json())  # everyone else has it already
    return None
