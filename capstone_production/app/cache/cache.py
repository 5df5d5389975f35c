"""The cache: a first level in this process, a second one in Redis, then the database.

Guarantees. After the answer to a write, its process never serves an older value. The other
processes follow by pub/sub, in milliseconds. A slow reader cannot store a value that a write has
replaced. When several processes miss the same key at once, one of them loads it. Without Redis the
first level continues alone: another process may then serve an old value for at most `CACHE_L1_TTL`
seconds. When a process connects to Redis again, it invalidates all values in all processes.

Limits. When only one process has lost Redis, it cannot tell the others about its writes. They may
serve old values until it connects again, or for `CACHE_L2_TTL` at most. The same happens when a
process is killed between a commit and its invalidation, or when a broken connection leaves open
whether the commit succeeded. Changes made outside the ORM become visible when the entry expires.

`tests/capstone/cache_schedules.py` runs this class through every order of its steps.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.cache.levels import CHANNEL, EVERYTHING, LOAD_WITHIN, LocalCache, SharedCache
from app.config import Settings
from app.redis_client import REDIS_ERRORS
from app.single_flight import SingleFlight

LOOK_EVERY = 0.02  # seconds, while another process loads
PING_EVERY = 1.0  # seconds
RECONNECT_AFTER = 0.2  # seconds
JITTER = 0.1  # of the time to live, so values that were stored together expire at different times

READS = Counter("cache_reads", "Reads, by the level that answered.", ["cache", "level"])
FAILURES = Counter("cache_failures", "How often the cache has lost Redis.")

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Level(StrEnum):
    """The level that a value came from; MISS is the database."""

    L1 = "L1"
    L2 = "L2"
    MISS = "MISS"


class Cached(NamedTuple, Generic[Value]):
    """A value, and the level that it came from."""

    value: Value
    level: Level


class Cache:
    """Two levels of values, in namespaces that are invalidated as a whole."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        self._ttl = settings.cache_l2_ttl
        self._local = LocalCache(ttl=settings.cache_l1_ttl, size=settings.cache_l1_size)
        self._redis = redis
        self._shared = SharedCache(redis, ttl=self._ttl) if redis else None
        # Set while this process receives invalidations. Otherwise it does not use the shared level.
        self._connected = asyncio.Event()
        # Set from a failure of Redis until the next connection. Meanwhile nothing is published,
        # because the next connection invalidates all values.
        self._lost = asyncio.Event()
        self._lost.set()
        self._calls = SingleFlight[tuple[str, str, int], Cached[Any]]()
        self._counts: dict[tuple[str, Level], Counter] = {}
        self._unpublished: set[str] = set()  # namespaces that Redis does not know of yet
        self._publishing = asyncio.Lock()

    async def get(
        self,
        namespace: str,
        key: str,
        load: Callable[[], Awaitable[bytes]],
        decode: Callable[[bytes], Value],
        *,
        ttl: int | None = None,
        keep_here: bool = True,
    ) -> Cached[Value]:
        """Return the cached value, or call `load` and return its result as `decode` gives it.

        `load` runs in a separate task, once for all requests that wait. Its errors are raised here
        and not cached. `ttl` is for the shared level, in seconds; `keep_here` is for the first one.
        """
        value = self._local.get(namespace, key)
        if value is not None:
            self._count(namespace, Level.L1)
            return Cached(value, Level.L1)
        # The epoch is part of the key, so after an invalidation no reader joins an older load.
        epoch = self._local.epoch(namespace)
        keep = partial(self._local.put, namespace, key, epoch=epoch) if keep_here else None
        loading = partial(self._load, namespace, key, load, decode, keep, ttl or self._ttl)
        found: Cached[Value] = await self._calls.run((namespace, key, epoch), loading)
        self._count(namespace, found.level)
        return found

    def invalidate_here(self, namespaces: Iterable[str]) -> None:
        """Invalidate the namespaces in this process; `EVERYTHING` stands for all of them."""
        for namespace in namespaces:
            if namespace == EVERYTHING:
                self._local.flush()
            else:
                self._local.invalidate(namespace)

    async def invalidate_everywhere(self, namespaces: set[str]) -> None:
        """Invalidate the namespaces in Redis, in every process, and here once more.

        After the return, no reader of this process can find the old values.
        """
        if self._shared and namespaces:
            self._unpublished |= namespaces
            # Shielded, since a cancelled request must not cancel the call that others share.
            await asyncio.shield(asyncio.create_task(self._publish(self._shared)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receive the invalidations of other processes."""
        listener = asyncio.create_task(self._listen())
        try:
            if self._shared:
                with suppress(TimeoutError):  # Redis may be down
                    await asyncio.wait_for(self._connected.wait(), RECONNECT_AFTER)
            yield
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _publish(self, shared: SharedCache) -> None:
        """Publish the invalidations. One call at a time: all waiting writers share the next one."""
        async with self._publishing:
            namespaces, self._unpublished = self._unpublished, set()
            if namespaces and not self._lost.is_set():
                try:
                    await shared.invalidate(namespaces)
                except REDIS_ERRORS as error:
                    self._lose(error)
            # Between the commit and now Redis had the old value, and a reader may have copied it
            # into the first level.
            self.invalidate_here(namespaces)

    async def _load(
        self,
        namespace: str,
        key: str,
        load: Callable[[], Awaitable[bytes]],
        decode: Callable[[bytes], Value],
        keep: Callable[[Value, int], None] | None,
        ttl: int,
    ) -> Cached[Value]:
        level, data, is_valid = Level.MISS, None, True
        found = await self._wait_for_turn(namespace, key)
        if found is not None and found[1] is not None:
            level, data = Level.L2, found[1]
        else:
            data = b""
            try:
                data = await load()
            finally:
                if found is not None:
                    is_valid = await self._store(namespace, key, found[0], data, ttl)
        value = decode(data)
        if is_valid and keep is not None:
            keep(value, len(data))
        return Cached(value, level)

    async def _wait_for_turn(self, namespace: str, key: str) -> tuple[bytes, bytes | None] | None:
        """Return the generations and the value; the value is None when this call has to load it.

        Returns None when Redis cannot answer; then each caller loads the value.
        """
        give_up_at = time.monotonic() + LOAD_WITHIN
        while self._shared and self._connected.is_set():
            try:
                stamp, value, shall_load = await self._shared.read(namespace, key)
            except REDIS_ERRORS as error:
                self._lose(error)
                break
            if value is not None or shall_load or time.monotonic() > give_up_at:
                return stamp, value
            await asyncio.sleep(LOOK_EVERY)
        return None

    async def _store(self, namespace: str, key: str, stamp: bytes, data: bytes, ttl: int) -> bool:
        """Store the loaded data in Redis; return whether it is still valid for the first level."""
        if self._shared is None:
            return True
        spread = random.uniform(1 - JITTER, 1)  # noqa: S311 - nothing secret about it
        try:
            return await self._shared.store(
                namespace, key, stamp, data, ttl=max(1, round(ttl * spread))
            )
        except REDIS_ERRORS as error:
            self._lose(error)
            return True

    async def _listen(self) -> None:
        """Keep the subscription, and subscribe again whenever it is lost."""
        while self._redis and self._shared:
            try:
                async with self._redis.pubsub() as pubsub:
                    await subscribe(pubsub)
                    # From here on writers publish. The next line invalidates their earlier changes.
                    self._lost.clear()
                    await self._shared.invalidate({EVERYTHING})
                    self._local.flush()
                    if not self._lost.is_set():
                        self._connected.set()
                    await self._follow(pubsub, self._shared.name)
            except REDIS_ERRORS as error:
                self._lose(error)
            finally:
                self._connected.clear()
                self._lost.set()
                self._local.flush()
            await asyncio.sleep(RECONNECT_AFTER)

    async def _follow(self, pubsub: PubSub, own_name: str) -> None:
        """Apply the invalidations of other processes, until the connection is lost."""
        answered_at = time.monotonic()
        while not self._lost.is_set():
            message = await pubsub.get_message(timeout=PING_EVERY / 2)
            now = time.monotonic()
            if message is not None:
                answered_at = now
                if message["type"] == "subscribe":
                    raise ConnectionError("The client subscribed again: messages may be lost")
                if message["type"] == "message":
                    origin, *namespaces = message["data"].decode().split(" ")
                    if origin != own_name:
                        self.invalidate_here(namespaces)
            elif now - answered_at > 2 * PING_EVERY:
                raise TimeoutError("Redis does not answer")
            else:
                await pubsub.ping()

    def _lose(self, error: Exception) -> None:
        """Continue without the shared level, until the listener has connected again."""
        if self._connected.is_set():
            FAILURES.inc()
            logger.warning("Redis failed; the cache continues without it: %r", error)
        self._connected.clear()
        self._lost.set()

    def _count(self, namespace: str, level: Level) -> None:
        """Count a read by the first part of the namespace, which has few values."""
        cache = namespace.partition(":")[0]
        counter = self._counts.get((cache, level))
        if counter is None:  # a lookup by labels takes longer than the rest of a hit
            counter = self._counts[cache, level] = READS.labels(cache, level.value)
        counter.inc()


async def subscribe(pubsub: PubSub) -> None:
    """Subscribe, and return when Redis has confirmed it: no later message is missed."""
    await pubsub.subscribe(CHANNEL)
    if await pubsub.get_message(timeout=PING_EVERY) is None:
        raise TimeoutError("Redis does not confirm the subscription")
