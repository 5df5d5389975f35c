"""Recording the highest value of a number while a test runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def highest(count: Callable[[], int]) -> Iterator[list[int]]:
    """Sample a number repeatedly; at the end the list contains the highest one."""
    seen: list[int] = [0]
    finished = threading.Event()

    def look() -> None:
        while not finished.wait(0.05):
            seen[0] = max(seen[0], count())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        finished.set()
        watcher.join()
