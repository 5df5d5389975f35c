"""An orderly stop, within a time limit.

1. SIGTERM or SIGINT: `/health/ready` answers 503, and load balancers have `DRAIN_SECONDS` to
   notice. Meanwhile the server still serves all requests.
2. The server stops: it accepts no new connections, closes sockets with 1012, and ends streams.
   Open requests get `REQUESTS_MAY_TAKE` seconds. Then the server cancels them with a 503.
3. The lifespan ends: jobs go back to the queue, connections are closed.

The stop takes less than `STOPS_WITHIN` seconds, whatever a client or a database does. A second
signal ends the process at once. Other processes then repeat its unfinished work.
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
# A Ctrl-C reaches every process of a terminal, and a supervisor may pass it on a second time.
# Signals within this time count as one.
SAME_WISH = 1.0  # seconds

logger = logging.getLogger(__name__)


class Shutdown:
    """Whether the process was asked to stop."""

    def __init__(self, drain_seconds: float) -> None:
        self.draining = False  # a stop was requested: not ready any more
        self.requested = False  # the stop has begun: streams and sockets have to end
        self._drain_seconds = drain_seconds
        self._asked_at = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT; pass them on to the server after `DRAIN_SECONDS`."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals
            return
        loop = asyncio.get_running_loop()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def notice(number: int, frame: FrameType | None) -> None:
            if self.draining:
                if time.monotonic() - self._asked_at > SAME_WISH:
                    end_at_once("a second signal came")
                return
            self.draining = True
            self._asked_at = time.monotonic()
            handler = handlers[signal.Signals(number)]
            limit_requests(handler, STOPS_WITHIN - LIFESPAN_END_TAKES - self._drain_seconds)
            last_resort = threading.Timer(STOPS_WITHIN, end_at_once, ["the stop took too long"])
            last_resort.daemon = True
            last_resort.start()

            def stop() -> None:
                self.requested = True
                if callable(handler):
                    handler(number, frame)

            # A signal alone does not wake an idle event loop; this call does.
            loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, stop)

        for number in handlers:
            signal.signal(number, notice)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def limit_requests(handler: object, seconds: float) -> None:
    """Make uvicorn wait `seconds` for open requests, unless its command line sets a time."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, uvicorn.Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = max(1, min(REQUESTS_MAY_TAKE, int(seconds)))


def end_at_once(reason: str) -> None:
    """End the process immediately."""
    logger.error("The process ends at once: %s", reason)
    os._exit(1)
