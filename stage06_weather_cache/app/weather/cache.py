"""A cache that loads missing values itself.

Promises: a fresh value needs no call. Parallel misses of one key make one call. When a call fails,
the cache returns an older value, if it has one. Memory is bounded: the least recently used value is
removed first. Limits: each process has its own cache, and a restart empties it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Generic, TypeVar

from cachetools import TTLCache

from app.single_flight import SingleFlight

Value = TypeVar("Value")
Clock = Callable[[], float]


class Outcome(StrEnum):
    """Where an answer comes from."""

    HIT = "HIT"
    MISS = "MISS"
    STALE = "STALE"


@dataclass(frozen=True)
class Entry(Generic[Value]):
    """A value, and the time of its loading by the cache's clock."""

    value: Value
    loaded_at: float


@dataclass(frozen=True)
class Cached(Generic[Value]):
    """An answer of the cache; `age` and `fresh_for` are in seconds."""

    value: Value
    outcome: Outcome
    age: float
    fresh_for: float


class LoadingCache(Generic[Value]):
    """Keeps results of `load` for `ttl` seconds, and `stale_for` seconds longer in case it fails.

    Names with the same `key` share one value; `load` gets the name of the first caller.
    `remember` is the class of errors that are answers, such as "there is no such city". The cache
    keeps them for `remember_for` seconds, and does not return an older value instead.
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
        # The clock is a parameter, so a test can control it.
        self._entries: TTLCache[str, Entry[Value]] = TTLCache(max_entries, ttl + stale_for, clock)
        self._errors: TTLCache[str, Exception] = TTLCache(max_entries, remember_for, clock)
        self._calls = SingleFlight[str, Entry[Value]]()

    async def get(self, name: str) -> Cached[Value]:
        """Return the value of a name; raises the error of `load` when there is no older value."""
        key = self._key(name)
        entry = self._entries.get(key)
        if entry and self._clock() - entry.loaded_at < self._ttl:
            return self._cached(entry, Outcome.HIT)
        if error := self._errors.get(key):
            # Each raise adds to the traceback, which would grow with every request.
            raise error.with_traceback(None)
        try:
            entry_now = await self._calls.run(key, partial(self._load_and_keep, key, name))
        except self._remember:
            raise
        except Exception:
            if entry:
                return self._cached(entry, Outcome.STALE)
            raise
        return self._cached(entry_now, Outcome.MISS)

    def _cached(self, entry: Entry[Value], outcome: Outcome) -> Cached[Value]:
        age = self._clock() - entry.loaded_at
        return Cached(entry.value, outcome, age, max(0, self._ttl - age))

    async def _load_and_keep(self, key: str, name: str) -> Entry[Value]:
        try:
            entry = Entry(await self._load(name), self._clock())
        except self._remember as error:
            self._entries.pop(key, None)
            self._errors[key] = error
            raise
        self._entries[key] = entry
        return entry
