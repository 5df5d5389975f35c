"""The cache: a level in this process before one in Redis, before the database.

Guarantees. Once a write is acknowledged, its process never serves an older value. The other
processes follow by pub/sub, in milliseconds. A slow reader cannot write back a value that a writer
replaced. When several processes miss the same key at once, one of them loads it. Without Redis the
first level goes on alone: then another process may serve an old value for `CACHE_L1_TTL` seconds,
no longer. When a process connects to Redis again, all values end, in Redis and in all processes.

Limits. A process that alone has lost its Redis cannot tell the others: they may serve an old value
until it connects again, or for `CACHE_L2_TTL` at the worst. The same holds when a process is killed
between a commit and its invalidation, and when a connection breaks so that nobody knows whether the
commit succeeded. Changes made outside the ORM become visible when the entry expires.

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
JITTER = 0.1  # of the time to live: what was stored together does not expire together

READS = Counter("cache_reads", "Reads from the cache by where they ended.", ["cache", "level"])
FAILURES = Counter("cache_failures", "Times that the shared level was lost.")

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


class Level(StrEnum):
    """Where a value came from."""

    L1 = "L1"
    L2 = "L2"
    MISS = "MISS"


class Cached(NamedTuple, Generic[Value]):
    """A value, and where it came from."""

    value: Value
    level: Level


class Cache:
    """Two levels of values, in namespaces that are invalidated as a whole."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        self._ttl = settings.cache_l2_ttl
        self._local = LocalCache(ttl=settings.cache_l1_ttl, size=settings.cache_l1_size)
        self._redis = redis
        self._shared = SharedCache(redis, ttl=self._ttl) if redis else None
        # Set while invalidations reach us: without them the shared level is not used either.
        self._connected = asyncio.Event()
        # Set from the moment that Redis fails until the next connection: then nothing is published,
        # since connecting ends all values.
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
        """Return what `decode` makes of what `load` returned, now or earlier.

        `load` runs in a task of its own, for everybody who waits; what it raises is raised here,
        and not kept. `ttl` is for the shared level, in seconds. `keep_here` is for the first level.
        """
        value = self._local.get(namespace, key)
        if value is not None:
            self._count(namespace, Level.L1)
            return Cached(value, Level.L1)
        # A reader that comes after an invalidation does not wait for an older load.
        epoch = self._local.epoch(namespace)
        keep = partial(self._local.put, namespace, key, epoch=epoch) if keep_here else None
        loading = partial(self._load, namespace, key, load, decode, keep, ttl or self._ttl)
        found: Cached[Value] = await self._calls.run((namespace, key, epoch), loading)
        self._count(namespace, found.level)
        return found

    def invalidate_here(self, namespaces: Iterable[str]) -> None:
        """Forget the namespaces in this process; `EVERYTHING` is all of them."""
        for namespace in namespaces:
            if namespace == EVERYTHING:
                self._local.flush()
            else:
                self._local.invalidate(namespace)

    async def invalidate_everywhere(self, namespaces: set[str]) -> None:
        """Invalidate the namespaces in Redis and in every process, and here once more.

        Returns when no reader of this process can find the old values any more.
        """
        if self._shared and namespaces:
            self._unpublished |= namespaces
            # Shielded: a request that is cancelled must not end the call for the others.
            await asyncio.shield(asyncio.create_task(self._publish(self._shared)))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to what other processes invalidate."""
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
        """Publish what is unpublished. One call at a time: the writers that wait share the next."""
        async with self._publishing:
            namespaces, self._unpublished = self._unpublished, set()
            if namespaces and not self._lost.is_set():
                try:
                    await shared.invalidate(namespaces)
                except REDIS_ERRORS as error:
                    self._lose(error)
            # Between the commit and now Redis had the old value, and a reader may have copied it
            # from there into the first level.
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
        """Return the generations with the value, without it when we shall load it.

        None: Redis is no help, whoever asks loads.
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
        """Return whether what was loaded is still valid, and may be kept here, too."""
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
        """Hold the subscription, and begin anew whenever it is lost."""
        while self._redis and self._shared:
            try:
                async with self._redis.pubsub() as pubsub:
                    await subscribe(pubsub)
                    # From here on writers publish; what they changed before is invalidated below.
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
        """Invalidate what the others publish, until the connection is lost."""
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
        """Go on without the shared level, until the listener has connected anew."""
        if self._connected.is_set():
            FAILURES.inc()
            logger.warning("The cache goes on without Redis: %r", error)
        self._connected.clear()
        self._lost.set()

    def _count(self, namespace: str, level: Level) -> None:
        """Count a read, by the namespace's first part: there are few of them."""
        cache = namespace.partition(":")[0]
        counter = self._counts.get((cache, level))
        if counter is None:  # a look-up by labels costs more than all the rest of a hit
            counter = self._counts[cache, level] = READS.labels(cache, level.value)
        counter.inc()


async def subscribe(pubsub: PubSub) -> None:
    """Return when Redis has confirmed the subscription: from then on no message is missed."""
    await pubsub.subscribe(CHANNEL)
    if await pubsub.get_message(timeout=PING_EVERY) is None:
        raise TimeoutError("Redis does not confirm the subscription")
