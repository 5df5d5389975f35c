"""The two levels of the cache: values in this process, for seconds; values in Redis, for minutes.

In this process every namespace has an epoch, a number. An invalidation gives it a new epoch, which
no entry has, so no entry has to be searched for. The level is bounded in bytes and in time; a value
that does not fit is not kept.

In Redis every namespace has a generation, a random word. A value is stored with the generation at
its load, and does not count under another one. So a slow reader cannot store a value that a writer
has invalidated meanwhile. A second generation, common to all namespaces, ends all values at once.
Each operation is one script, which Redis runs as one atomic step.
"""

import itertools
import secrets
from collections.abc import Iterable
from typing import Any, NamedTuple

from cachetools import LRUCache, TTLCache
from redis.asyncio import Redis

MAX_NAMESPACES = 100_000
OVERHEAD = 500  # bytes, roughly, that an entry needs besides its value

CHANNEL = "cache:invalidated"
EVERYTHING = "*"  # stands for all namespaces
ALL = "cache:generation"
LOAD_WITHIN = 3.0  # seconds, then another process may load the value

# KEYS: the common generation, the generation of the namespace, value, lock. ARGV: a new generation,
# our name, the lifetime of a generation in seconds, the lifetime of a lock in milliseconds.
# Returns the generations, the value if it belongs to them, and 1 if the caller has to load it.
READ = """
local stamp = ''
for i = 1, 2 do
    redis.call('SET', KEYS[i], ARGV[1], 'NX')
    redis.call('EXPIRE', KEYS[i], ARGV[3])
    stamp = stamp .. redis.call('GET', KEYS[i]) .. ':'
end
local value = redis.call('GET', KEYS[3])
if value and value:sub(1, #stamp) == stamp then
    return {stamp, value:sub(#stamp + 1), 0}
end
-- A lock from an older generation is ignored: its load will be invalid.
local lock = redis.call('GET', KEYS[4])
if lock and lock:sub(1, #stamp) == stamp then
    return {stamp, false, 0}
end
redis.call('SET', KEYS[4], stamp .. ARGV[2], 'PX', ARGV[4])
return {stamp, false, 1}
"""

# KEYS as above. ARGV: the generations at the load, the value, seconds to keep it, our name.
STORE = """
local stamp = ''
for i = 1, 2 do stamp = stamp .. (redis.call('GET', KEYS[i]) or '') .. ':' end
local is_valid = stamp == ARGV[1]
if is_valid and ARGV[2] ~= '' then
    redis.call('SET', KEYS[3], stamp .. ARGV[2], 'EX', ARGV[3])
end
if redis.call('GET', KEYS[4]) == ARGV[1] .. ARGV[4] then redis.call('DEL', KEYS[4]) end
return is_valid and 1 or 0
"""

# KEYS: generations. ARGV: a new generation, seconds to keep it, the channel, the message.
INVALIDATE = """
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'EX', ARGV[2]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
"""


class LocalCache:
    """The values that this process keeps, by namespace and key."""

    def __init__(self, *, ttl: float, size: int) -> None:
        self._entries: TTLCache[tuple[str, str], tuple[int, int, Any]] = TTLCache(
            size, ttl, getsizeof=lambda entry: entry[1]
        )
        self._epochs: LRUCache[str, int] = LRUCache(MAX_NAMESPACES)
        self._new_epochs = itertools.count()

    def epoch(self, namespace: str) -> int:
        """Return the namespace's epoch; values from another epoch are not valid."""
        try:
            return self._epochs[namespace]
        except KeyError:  # never seen, or evicted: a new epoch makes its entries invalid
            epoch = self._epochs[namespace] = next(self._new_epochs)
            return epoch

    def get(self, namespace: str, key: str) -> Any:
        """Return the value, or None when there is no valid one."""
        try:
            epoch, _, value = self._entries[namespace, key]
        except KeyError:
            return None
        return value if epoch == self.epoch(namespace) else None

    def put(self, namespace: str, key: str, value: Any, size: int, *, epoch: int) -> None:
        """Keep a value of `size` bytes that was loaded in `epoch`, if `epoch` is still current."""
        if epoch == self.epoch(namespace) and size + OVERHEAD <= self._entries.maxsize:
            self._entries[namespace, key] = (epoch, size + OVERHEAD, value)

    def invalidate(self, namespace: str) -> None:
        """Invalidate the values of the namespace, and the loads that are running for it."""
        self._epochs[namespace] = next(self._new_epochs)

    def flush(self) -> None:
        """Invalidate everything."""
        self._entries.clear()
        self._epochs.clear()


class Found(NamedTuple):
    """The answer of Redis: a value; without one, whether this process has to load it."""

    stamp: bytes
    value: bytes | None
    shall_load: bool


class SharedCache:
    """The values that all processes share. Every method raises `REDIS_ERRORS`."""

    def __init__(self, redis: Redis, *, ttl: int) -> None:
        self.name = new_word()
        self._keep_generations = 2 * ttl
        self._read = redis.register_script(READ)
        self._store = redis.register_script(STORE)
        self._invalidate = redis.register_script(INVALIDATE)

    async def read(self, namespace: str, key: str) -> Found:
        """Return the value. Without a value, tell at most one reader to load it."""
        lock_for = int(LOAD_WITHIN * 1000)
        stamp, value, shall_load = await self._read(
            keys(namespace, key), [new_word(), self.name, self._keep_generations, lock_for]
        )
        return Found(stamp, value, bool(shall_load))

    async def store(
        self, namespace: str, key: str, stamp: bytes, value: bytes, *, ttl: int
    ) -> bool:
        """Keep a value and release the lock; return False when it was invalidated meanwhile.

        An empty value is not kept: it only releases the lock.
        """
        kept = await self._store(keys(namespace, key), [stamp, value, ttl, self.name])
        return bool(kept)

    async def invalidate(self, namespaces: Iterable[str]) -> None:
        """Give the namespaces new generations, and tell every process.

        `EVERYTHING` stands for all namespaces.
        """
        names = sorted(namespaces)
        if EVERYTHING in names:
            names = [EVERYTHING]
        message = " ".join([self.name, *names])
        await self._invalidate(
            [generation(name) for name in names],
            [new_word(), self._keep_generations, CHANNEL, message],
        )


def new_word() -> str:
    """Return a word that was never a generation before."""
    return secrets.token_hex(8)


def generation(namespace: str) -> str:
    """Return the key of the namespace's generation; `EVERYTHING` has the common generation."""
    return ALL if namespace == EVERYTHING else f"{ALL}:{namespace}"


def keys(namespace: str, key: str) -> list[str]:
    """Return the keys for the scripts, in their order."""
    name = f"{namespace}:{key}"
    return [ALL, generation(namespace), f"cache:value:{name}", f"cache:lock:{name}"]
