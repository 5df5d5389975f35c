"""Who may open a socket: whoever has a token, from a page that may.

A browser sends no Authorization header with a WebSocket, and CORS does not hold for it: every page
may open one. So the token can come by other ways, and `Origin` is checked.
"""

import logging
import re
from datetime import datetime
from typing import NamedTuple

from fastapi import WebSocket

from app.chat.schemas import ChatUser
from app.config import Settings

SUBPROTOCOL = "bearer"
# Of the socket's address the whole query: a name can be written in many ways (`%74oken=`).
TOKEN_IN_ADDRESS = re.compile(r"(/ws/chat/?\?|token=)[^\s\"]+")


class Visitor(NamedTuple):
    """A user with a token that is good until `expires_at`."""

    user: ChatUser
    expires_at: datetime


async def find_visitor(websocket: WebSocket, settings: Settings) -> Visitor | None:
    """Return who wants to connect, or None when they may not."""
    # TODO 8.6: The JWT is checked when a client connects
    raise NotImplementedError("TODO 8.6: The JWT is checked when a client connects")


def find_token(websocket: WebSocket) -> str | None:
    """Return the token from the header (programs), a subprotocol (browsers) or the query."""
    # TODO 8.6: The JWT is checked when a client connects
    raise NotImplementedError("TODO 8.6: The JWT is checked when a client connects")


def may_connect_from(websocket: WebSocket, allowed_origins: list[str]) -> bool:
    """Return whether the page is ours or an allowed one. A program has no `Origin` at all."""
    # TODO 8.6: The JWT is checked when a client connects
    raise NotImplementedError("TODO 8.6: The JWT is checked when a client connects")


class HideTokens(logging.Filter):
    """Keeps tokens out of the log: uvicorn writes the whole address of a socket there."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without the queries that may hold a token."""
        record.msg = hide_token(record.msg)
        # One by one: uvicorn's own formatter wants to find all of them.
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
