"""A limit on the time that the server takes to stop.

uvicorn finishes open requests before it stops. Without a limit it would wait forever for a client
that sends half a body, or that reads half an answer. A stream of job events must end earlier:
`Shutdown` tells it that the server stops.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

REQUESTS_MAY_TAKE = 5  # seconds after Ctrl-C or SIGTERM


def limit_shutdown() -> None:
    """Make uvicorn cancel open requests after `REQUESTS_MAY_TAKE`.

    uvicorn's option `--timeout-graceful-shutdown` takes precedence.
    """
    # uvicorn's signal handler is a method of its server, so the app finds the server here.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = REQUESTS_MAY_TAKE


class Shutdown:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice SIGTERM and SIGINT, and pass them on to the handlers that were there before."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals
            return
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def notice(number: int, frame: FrameType | None) -> None:
            self.requested = True
            handler = handlers[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        for number in handlers:
            signal.signal(number, notice)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
