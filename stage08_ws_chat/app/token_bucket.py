"""A rate limit that allows short bursts."""

import time


class TokenBucket:
    """Holds up to `capacity` tokens and gets `rate` new ones a second; each action takes one.

    https://en.wikipedia.org/wiki/Token_bucket
    """

    def __init__(self, *, rate: float, capacity: int) -> None:
        self._rate = rate
        self._capacity = capacity
        self._tokens = float(capacity)
        self._filled_at = time.monotonic()

    def take(self) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = time.monotonic()
        filled = self._tokens + (now - self._filled_at) * self._rate
        self._tokens, self._filled_at = min(filled, self._capacity), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0
