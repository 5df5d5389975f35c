"""The connection behind an ASGI `send`, which ASGI does not show.

ASGI 3 has no message that ends a connection at once, and none that says how much a client has not
read yet. uvicorn's `send` (seen in 0.54) is a method of its protocol, which has the transport.
Only a change of the specification (https://asgi.readthedocs.io) could end this.
"""

import asyncio

from starlette.types import Send


def protocol_of(send: Send) -> object:
    """Return the server's protocol; None when the server, or a middleware before us, hides it."""
    return getattr(send, "__self__", None)


def transport_of(send: Send) -> asyncio.Transport | None:
    """Return the connection, if the server shows it."""
    transport = getattr(protocol_of(send), "transport", None)
    return transport if isinstance(transport, asyncio.Transport) else None
