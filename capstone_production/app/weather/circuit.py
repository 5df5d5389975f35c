"""A circuit breaker: it remembers until when the provider must not be asked.

After a 429 the circuit is open for as long as the provider's `Retry-After` says, after a timeout
for `timeout_pause` seconds (0: never). Nobody waits meanwhile: each call gets the last problem
again, at once. Then one call tries, and its outcome decides. Limits: each process has a circuit of
its own, for all cities together.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from app.weather.upstream import UpstreamBusy, UpstreamTimeout


class CircuitBreaker:
    """Lets calls of the provider through while the circuit is closed."""

    def __init__(self, *, timeout_pause: float, longest_call: float) -> None:
        self._timeout_pause = timeout_pause
        self._longest_call = longest_call
        self._problem: UpstreamBusy | UpstreamTimeout | None = None  # None: the circuit is closed
        self._open_until = 0.0

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Watch a call of the provider; raises the last problem while the circuit is open."""
        problem = self._problem
        if problem is not None:
            wait = self._open_until - time.monotonic()
            if wait > 0:
                raise type(problem)(math.ceil(wait))
            # This call tries. The circuit stays open to all others until they know how it went.
            self._open_until = time.monotonic() + self._longest_call
        try:
            yield
        except UpstreamBusy as error:
            self._open(error, error.retry_after, before=problem)
            raise
        except UpstreamTimeout:
            if self._timeout_pause == 0:
                raise
            late = UpstreamTimeout(max(1, math.ceil(self._timeout_pause)))
            self._open(late, self._timeout_pause, before=problem)
            raise late from None
        finally:
            # The provider has answered, with whatever: a call that began later may know better.
            if self._problem is problem:
                self._problem = None

    def _open(
        self,
        problem: UpstreamBusy | UpstreamTimeout,
        seconds: float,
        *,
        before: UpstreamBusy | UpstreamTimeout | None,
    ) -> None:
        """Open the circuit; a call that ran beside this one may have opened it for longer."""
        until = time.monotonic() + seconds
        if self._problem is before or until > self._open_until:
            self._problem, self._open_until = problem, until
