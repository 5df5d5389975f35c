"""The first level: values in this process, for seconds.

Every namespace has an epoch. Invalidating it gives it a new one, which no entry has: nothing has to
be searched for. Bounded in bytes and in time; a value that does not fit is not kept.
"""

import itertools
from typing import Any

from cachetools import LRUCache, TTLCache

MAX_NAMESPACES = 100_000
OVERHEAD = 500  # bytes, roughly, that an entry needs besides what is in it


class LocalCache:
    """The values that this process keeps, by namespace and key."""

    def __init__(self, *, ttl: float, size: int) -> None:
        self._entries: TTLCache[tuple[str, str], tuple[int, int, Any]] = TTLCache(
            size, ttl, getsizeof=lambda entry: entry[1]
        )
        self._epochs: LRUCache[str, int] = LRUCache(MAX_NAMESPACES)
        self._new_epochs = itertools.count()

    def epoch(self, namespace: str) -> int:
        """Return the namespace's epoch: what was loaded in another one is not valid."""
        try:
            return self._epochs[namespace]
        except KeyError:  # never seen, or forgotten: then its entries are, too
            epoch = self._epochs[namespace] = next(self._new_epochs)
            return epoch

    def get(self, namespace: str, key: str) -> Any:
        """Return the value, None when there is none."""
        try:
            epoch, _, value = self._entries[namespace, key]
        except KeyError:
            return None
        return value if epoch == self.epoch(namespace) else None

    def put(self, namespace: str, key: str, value: Any, size: int, *, epoch: int) -> None:
        """Keep a value of `size` bytes that was loaded in `epoch`, unless that is over."""
        if epoch == self.epoch(namespace) and size + OVERHEAD <= self._entries.maxsize:
            self._entries[namespace, key] = (epoch, size + OVERHEAD, value)

    def invalidate(self, namespace: str) -> None:
        """Forget what is in the namespace, and what is being loaded for it."""
        self._epochs[namespace] = next(self._new_epochs)

    def flush(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._epochs.clear()
