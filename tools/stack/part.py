"""One program of the stack: how it starts, when it is ready, and how it stops."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from course.harness.queue import Process


@dataclass
class Part:
    """A program that runs until it is asked to end. Parts of one `wave` start and end together."""

    name: str
    wave: int
    process: Process
    is_ready: Callable[[], bool]
    address: str = "-"
    stop_signal: signal.Signals = signal.SIGTERM
    before_start: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self.process.end()  # also processes that an earlier run has left in its group
        self.before_start()
        self.process.start()

    def ask_to_stop(self) -> None:
        """Ask it to stop cleanly."""
        if self.process.is_running:
            self.process.send_signal(self.stop_signal)

    @property
    def is_up(self) -> bool:
        """True while the program runs."""
        return self.process.is_running and self.process.exit_code is None
