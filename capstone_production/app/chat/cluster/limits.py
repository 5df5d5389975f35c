"""Limits how fast one user may send, with all their sockets, in all processes together.

Each process has a token bucket for a user, and Redis has one that all processes share. A frame
takes a token from both. A process that knows of no other process does not ask Redis, which saves a
few percent of the cost of a message. While Redis does not answer, each process counts alone: a user
with sockets in three processes may then send three times as fast, and `rate_limit_failures_total`
increases.
"""

import time

from cachetools import TTLCache
from redis.asyncio import Redis

from app.chat.cluster.peers import Peers
from app.chat.schemas import ChatUser
from app.rate_limits import FAILURES, REFUSALS
from app.redis_client import REDIS_ERRORS
from app.token_bucket import TokenBucket

MESSAGES_A_SECOND = 5
BURST = 20  # messages at once after a pause
MAX_BUCKETS = 10_000
BUCKET_TTL = 60  # seconds; by then a bucket is full again
PAUSE_AFTER_ERROR = 1.0  # seconds without calls of Redis, so messages do not wait for it

# The same as `TokenBucket.take`, shared by all processes. Redis runs a script as one atomic step.
TAKE = """
local rate, capacity, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'filled_at')
local tokens, filled_at = tonumber(bucket[1] or capacity), tonumber(bucket[2] or now)
tokens = math.min(capacity, tokens + (now - filled_at) * rate)
if tokens < 1 then
    return 0
end
local filled = string.format('%.6f', now)
redis.call('HSET', KEYS[1], 'tokens', tokens - 1, 'filled_at', filled)
redis.call('EXPIRE', KEYS[1], ttl)
return 1
"""


class MessageLimits:
    """Counts the frames of each user."""

    def __init__(self, redis: Redis | None, peers: Peers | None) -> None:
        self._peers = peers
        # Kept after a user has left, so a new connection does not fill the bucket.
        self._buckets: TTLCache[int, TokenBucket] = TTLCache(MAX_BUCKETS, BUCKET_TTL)
        self._take = redis.register_script(TAKE) if redis is not None else None
        self._ask_redis_from = 0.0

    async def is_too_fast(self, user: ChatUser) -> bool:
        """Count a frame of the user; return whether there were too many."""
        bucket = self._buckets.get(user.id) or TokenBucket(rate=MESSAGES_A_SECOND, capacity=BURST)
        self._buckets[user.id] = bucket  # its time to live starts again
        if bucket.take() == 0 and await self._take_from_all(user):
            return False
        REFUSALS.labels("chat").inc()
        return True

    async def _take_from_all(self, user: ChatUser) -> bool:
        """Take a token from the shared bucket; return False only if Redis says that it is empty."""
        if self._take is None or self._peers is None or not self._peers.are_there:
            return True
        if time.monotonic() < self._ask_redis_from:
            return True
        try:
            arguments = [MESSAGES_A_SECOND, BURST, BUCKET_TTL]
            return bool(await self._take(keys=[f"chat:bucket:{user.id}"], args=arguments))
        except REDIS_ERRORS:
            FAILURES.inc()
            self._ask_redis_from = time.monotonic() + PAUSE_AFTER_ERROR
            return True
