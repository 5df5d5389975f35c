"""Knowing that the server is about to stop.

uvicorn waits for open responses before it lets the lifespan end. One that streams for as long as a
job takes has to be told earlier: by the signal itself.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Shutdown:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notice SIGTERM and SIGINT, and pass them on to whoever handled them before."""
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
