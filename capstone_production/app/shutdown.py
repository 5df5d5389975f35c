"""Stopping in good order, and in time.

1. SIGTERM or SIGINT: from now on we are not ready, and whoever spreads the requests is given
   `DRAIN_SECONDS` to notice. Everything is served meanwhile.
2. The server stops: nobody new is let in, sockets are closed with 1012, streams end, and requests
   have until `REQUESTS_MAY_TAKE`. Then the server cancels them: 503.
3. The lifespan ends: jobs go back to the queue, connections are closed.

All of it takes less than `STOPS_WITHIN`, whatever a client or a database does. Who asks a second
time does not want to wait: we end at once, and what we worked on is done again by others.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

REQUESTS_MAY_TAKE = 12  # seconds
STOPS_WITHIN = 19  # seconds
LIFESPAN_END_TAKES = 3  # seconds
# A Ctrl-C reaches every process of a terminal, and a supervisor passes it on: that is one wish.
SAME_WISH = 1.0  # seconds

logger = logging.getLogger(__name__)


class Shutdown:
    """Whether the process was asked to stop."""

    def __init__(self, drain_seconds: float) -> None:
        self.draining = False  # it will stop: not ready any more
        self.requested = False  # it stops now: what goes on for long has to end
        self._drain_seconds = drain_seconds
        self._asked_at = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice SIGTERM and SIGINT, and pass them on to the server when its time has come."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals
            return
        loop = asyncio.get_running_loop()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def notice(number: int, frame: FrameType | None) -> None:
            if self.draining:
                if time.monotonic() - self._asked_at > SAME_WISH:
                    end_at_once("asked a second time")
                return
            self.draining = True
            self._asked_at = time.monotonic()
            handler = handlers[signal.Signals(number)]
            limit_requests(handler, STOPS_WITHIN - LIFESPAN_END_TAKES - self._drain_seconds)
            last_resort = threading.Timer(STOPS_WITHIN, end_at_once, ["it took too long"])
            last_resort.daemon = True
            last_resort.start()

            def stop() -> None:
                self.requested = True
                if callable(handler):
                    handler(number, frame)

            # The loop may be asleep, and a signal alone does not wake it.
            loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, stop)

        for number in handlers:
            signal.signal(number, notice)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def limit_requests(handler: object, seconds: float) -> None:
    """Have uvicorn wait so long for open requests, unless its command line says how long."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = max(1, min(REQUESTS_MAY_TAKE, int(seconds)))


def end_at_once(reason: str) -> None:
    """End the process here and now."""
    logger.error("Stopped at once: %s", reason)
    os._exit(1)
