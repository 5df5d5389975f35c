"""Workarounds for two faults of uvicorn's WebSockets (seen in 0.54).

- uvicorn answers pings itself and queues the pongs without limit. A client that pings and does not
  read makes the process grow until there is no memory left. Empty parts of a message that never
  ends have the same effect: uvicorn's limit on the size of a message counts bytes, not parts.
- uvicorn rightly closes a socket with 1007 when a text is not UTF-8, but it also logs a traceback.
  So a client's mistake looks like ours.

No issue at https://github.com/Kludex/uvicorn/issues describes them yet, and no version fixes them.
"""

import logging

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

MAX_UNREAD_PONGS = 100  # one after the other, while the client does not read
MAX_PARTS = 10_000  # of one message
NOT_UTF_8 = "Invalid UTF-8 sequence received from client."


def bound_memory(protocol: object) -> None:
    """Drop the connection when its client makes uvicorn's `protocol` grow without limit."""
    if not isinstance(protocol, WebSocketsSansIOProtocol):
        return  # another server or library, perhaps without these faults
    transport = protocol.transport
    answer_ping, keep_part = protocol.handle_ping, protocol.handle_cont
    unread = 0

    def handle_ping() -> None:
        nonlocal unread
        # The buffer holds only bytes that the system does not take: the client does not read.
        unread = unread + 1 if transport.get_write_buffer_size() else 0
        if unread > MAX_UNREAD_PONGS:
            transport.abort()
        if not transport.is_closing():
            answer_ping()

    def handle_cont(part: Frame) -> None:
        if len(protocol.frames) >= MAX_PARTS:
            transport.abort()
        else:
            keep_part(part)

    vars(protocol).update(handle_ping=handle_ping, handle_cont=handle_cont)


class WithoutTraceback(logging.Filter):
    """Replaces the traceback that uvicorn logs for a text that is not UTF-8 by one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.msg == NOT_UTF_8:
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def log_clients_mistakes_quietly() -> None:
    """Add the filter to uvicorn's logger."""
    logging.getLogger("uvicorn.error").addFilter(WithoutTraceback())
