"""Control of a running stack: parts that have ended start again, and a person can kill one."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from tools.stack.part import Part

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before a start; each one is twice as long
_IS_WELL_AFTER = 60.0  # seconds; then the next pause is the first again


class Restarts:
    """Starts parts again, like the supervisor of containers, with growing pauses."""

    def __init__(self, start: Callable[[Part], None]) -> None:
        self._start = start
        self._pauses: dict[str, float] = {}
        self._planned: list[tuple[float, Part]] = []
        self._starting: list[tuple[float, Part]] = []
        self._started_at: dict[str, float] = {}

    def plan(self, part: Part) -> float:
        """Plan a start; return the seconds until then."""
        now = time.monotonic()
        if now - self._started_at.get(part.name, 0) > _IS_WELL_AFTER:
            self._pauses.pop(part.name, None)
        pause = self._pauses.get(part.name, _FIRST_PAUSE)
        self._pauses[part.name] = min(_LONGEST_PAUSE, 2 * pause)
        self._planned.append((now + pause, part))
        self._starting = [(since, other) for since, other in self._starting if other is not part]
        return pause

    def look(self) -> Iterator[str]:
        """Start the parts whose time has come; yield a line for each that is ready again."""
        now = time.monotonic()
        due = [part for at, part in self._planned if at <= now]
        self._planned = [(at, part) for at, part in self._planned if at > now]
        for part in due:
            self._start(part)
            self._started_at[part.name] = now
            self._starting.append((now, part))
        for since, part in list(self._starting):
            if part.is_up and part.is_ready():
                self._starting.remove((since, part))
                yield f"{part.name} is ready again, after {time.monotonic() - since:.1f} s."


def kill(parts: Iterable[Part], name: str) -> str:
    """Kill the part with this name, like a crash; return a line about it."""
    by_name = {part.name: part for part in parts if part.is_up}
    if name not in by_name:
        return f"No running part is called {name!r}. There are: {', '.join(by_name)}."
    by_name[name].process.send_signal(signal.SIGKILL)
    return f"{name} is killed."


def typed_lines() -> queue.Queue[str]:
    """Return a queue that gets each line of standard input, without blanks around it."""
    lines: queue.Queue[str] = queue.Queue()
    # In the background a read from the terminal would stop this process.
    if not sys.stdin.isatty() or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp():
        threading.Thread(target=_read_lines, args=[lines], daemon=True).start()
    return lines


def _read_lines(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        if word := line.strip():
            lines.put(word)
