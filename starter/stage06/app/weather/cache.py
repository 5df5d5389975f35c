"""A cache that is filled by whoever misses first.

Promises: a fresh answer is given without asking the provider. Many who want the same at once make
one call. When a call fails, an older answer is given instead, if there is one. Memory is bounded:
what was used least lately goes first. Limits: each process has its own; a restart empties it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from cachetools import TTLCache

Value = TypeVar("Value")
Clock = Callable[[], float]


class Outcome(StrEnum):
    """Where an answer comes from."""

    HIT = "HIT"
    MISS = "MISS"
    STALE = "STALE"


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """A value, and when it was loaded by the cache's clock."""

    value: Value
    loaded_at: float


@dataclass(frozen=True)
class Cached(Generic[Value]):
    """What the cache answers; `age` and `fresh_for` are in seconds."""

    value: Value
    outcome: Outcome
    age: float
    fresh_for: float


class LoadingCache(Generic[Value]):
    """Keeps what `load` returns for `ttl` seconds, and for `stale_for` more in case it fails.

    Names with one `key` share one value; `load` gets the name as the first who asked wrote it.
    `remember` names the errors that are answers, such as "there is no such city": they are kept,
    too, for `remember_for` seconds, and an older value does not replace them.
    """

    def __init__(
        self,
        load: Callable[[str], Awaitable[Value]],
        *,
        key: Callable[[str], str],
        ttl: float,
        stale_for: float,
        remember: type[Exception],
        remember_for: float,
        max_entries: int,
        clock: Clock,
    ) -> None:
        self._load = load
        self._key = key
        self._ttl = ttl
        self._remember = remember
        self._clock = clock
        # The clock is given, not taken: a test can turn it.
        self._entries: TTLCache[str, Entry[Value]] = TTLCache(max_entries, ttl + stale_for, clock)
        self._errors: TTLCache[str, Exception] = TTLCache(max_entries, remember_for, clock)
        self._loading: dict[str, asyncio.Task[Entry[Value]]] = {}

    async def get(self, name: str) -> Cached[Value]:
        """Return the value of a name; raises what `load` raises when there is nothing older."""
        # TODO 6.2: Answers are cached for 10 minutes
        raise NotImplementedError("TODO 6.2: Answers are cached for 10 minutes")

    def _cached(self, entry: Entry[Value], outcome: Outcome) -> Cached[Value]:
        # TODO 6.2: Answers are cached for 10 minutes
        raise NotImplementedError("TODO 6.2: Answers are cached for 10 minutes")

    async def _load_once(self, key: str, name: str) -> Entry[Value]:
        """Wait for the load that is under way, or begin one."""
        # TODO 6.4: The cache is in memory (cachetools)
        raise NotImplementedError("TODO 6.4: The cache is in memory (cachetools)")

    async def _load_and_keep(self, key: str, name: str) -> Entry[Value]:
        # TODO 6.4: The cache is in memory (cachetools)
        raise NotImplementedError("TODO 6.4: The cache is in memory (cachetools)")

    def _loaded(self, key: str, done: asyncio.Task[Entry[Value]]) -> None:
        del self._loading[key]
        if not done.cancelled():
            done.exception()  # looked at, also when everybody who waited has given up
