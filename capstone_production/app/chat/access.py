"""The guard of the socket: it admits users with a token, from allowed pages.

A browser sends no Authorization header with a WebSocket, so the token can come in other ways. CORS
does not apply to WebSockets: every page may open one, so the guard checks `Origin`.
"""

import logging
import re
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from fastapi import WebSocket
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.auth.security import InvalidToken
from app.chat.schemas import ChatUser
from app.config import Settings

SUBPROTOCOL = "bearer"
# The whole query of the socket's URL: a name can be escaped in many ways (`%74oken=`).
TOKEN_IN_ADDRESS = re.compile(r"(/ws/chat/?\?|token=)[^\s\"]+")


class Principal(NamedTuple):
    """A user with a token that is valid until `expires_at`."""

    user: ChatUser
    expires_at: datetime


async def find_principal(websocket: WebSocket, settings: Settings) -> Principal | None:
    """Return the user who connects, or None if the connection is not allowed."""
    token = find_token(websocket)
    if token is None or not may_connect_from(websocket, settings.chat_allowed_origins):
        return None
    try:
        access = websocket.state.verified_tokens.read(token)
    except InvalidToken:
        return None
    # A short session: no database connection stays open while people chat.
    async with AsyncSession(websocket.state.engine) as session:
        user = await session.get(User, access.user_id)
    return Principal(ChatUser.model_validate(user), access.expires_at) if user else None


def find_token(websocket: WebSocket) -> str | None:
    """Return the token from the header (programs), a subprotocol (browsers) or the query."""
    scheme, _, token = websocket.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token
    protocols = websocket.scope["subprotocols"]
    if len(protocols) == 2 and protocols[0] == SUBPROTOCOL:
        return str(protocols[1])
    return websocket.query_params.get("token")


def may_connect_from(websocket: WebSocket, allowed_origins: list[str]) -> bool:
    """Return whether the page is ours or an allowed one. A program sends no `Origin`."""
    origin = websocket.headers.get("Origin")
    if origin is None or origin in allowed_origins:
        return True
    try:
        host = urlsplit(origin).netloc
    except ValueError:  # not a URL, such as "http://["
        return False
    # "null" (a file, a sandbox) has no host, so it is refused.
    return bool(host) and host == websocket.headers.get("Host")


class HideTokens(logging.Filter):
    """Keeps tokens out of the log: uvicorn writes the whole URL of a socket there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the queries that may contain a token, and keep every record."""
        record.msg = hide_token(record.msg)
        # Keep the number of values, which uvicorn's formatter needs.
        if isinstance(record.args, tuple):
            record.args = tuple(hide_token(argument) for argument in record.args)
        return True


def hide_token(value: object) -> object:
    """Return a text with asterisks for a token, and anything else as it is."""
    return TOKEN_IN_ADDRESS.sub(r"\1***", value) if isinstance(value, str) else value


def hide_tokens_in_logs() -> None:
    """Add the filter to uvicorn's loggers."""
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).addFilter(HideTokens())
