"""The id of the current request, which is in its answer and in every line of its log.

A client or a gateway may choose the id, so that one search finds a request in the logs of all
services. A malformed id is replaced, because ids go into our log.
"""

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = b"x-request-id"
WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")

# Set for each request, and inherited by its threads and tasks.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that came with the request, or a new one."""
    for name, value in headers:
        if name == HEADER and WELL_FORMED.fullmatch(value):
            return value.decode()
    return f"{random.getrandbits(128):032x}"
