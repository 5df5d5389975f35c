"""One program of the stack: how it is started, when it is ready, how it is asked to end."""

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
        self.process.end()  # also what an earlier run may have left behind in its group
        self.before_start()
        self.process.start()

    def ask_to_stop(self) -> None:
        """Ask it to end, in good order."""
        if self.process.is_running:
            self.process.send_signal(self.stop_signal)

    @property
    def is_up(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process.is_running and self.process.exit_code is None
