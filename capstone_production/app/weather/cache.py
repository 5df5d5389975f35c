"""A cache that is filled by whoever misses first.

Promises: a fresh answer is given without asking the provider. Many who want the same at once make
one call. When a call fails, an older answer is given instead, if there is one. Memory is bounded:
what was used least lately goes first. Limits: each process has its own; a restart empties it.
`load` may use a cache that all processes share.
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
    """A value, its load time by the cache's clock, and whether this call has loaded it."""

    value: Value
    loaded_at: float
    is_new: bool = True


@dataclass(frozen=True)
class Cached(Generic[Value]):
    """An answer of the cache; `age` and `fresh_for` are in seconds."""

    value: Value
    outcome: Outcome
    age: float
    fresh_for: float


class LoadingCache(Generic[Value]):
    """Keeps what `load` returns for `ttl` seconds, and for `stale_for` more in case it fails.

    Names with one `key` share one value; `load` gets the name as the first who asked wrote it.
    `remember` names the errors that are answers, such as "there is no such city": they are kept,
    too, for `remember_for` seconds, and an older value does not replace them. `age_of` tells, in
    seconds, how old a value is that another process has loaded.
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
        age_of: Callable[[Value], float] = lambda _: 0,
    ) -> None:
        self._load = load
        self._key = key
        self._ttl = ttl
        self._remember = remember
        self._clock = clock
        self._age_of = age_of
        # The clock is given, not taken: a test can turn it.
        self._entries: TTLCache[str, Entry[Value]] = TTLCache(max_entries, ttl + stale_for, clock)
        self._errors: TTLCache[str, Exception] = TTLCache(max_entries, remember_for, clock)
        self._calls = SingleFlight[str, Entry[Value]]()

    async def get(self, name: str) -> Cached[Value]:
        """Return the value of a name; raises what `load` raises when there is nothing older."""
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
        return self._cached(entry_now, Outcome.MISS if entry_now.is_new else Outcome.HIT)

    def _cached(self, entry: Entry[Value], outcome: Outcome) -> Cached[Value]:
        age = self._clock() - entry.loaded_at
        return Cached(entry.value, outcome, age, max(0, self._ttl - age))

    async def _load_and_keep(self, key: str, name: str) -> Entry[Value]:
        try:
            value = await self._load(name)
            age = self._age_of(value)
            entry = Entry(value, self._clock() - age, is_new=age < 1)
        except self._remember as error:
            self._entries.pop(key, None)
            self._errors[key] = error
            raise
        self._entries[key] = entry
        return entry
