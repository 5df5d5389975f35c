"""A circuit breaker: it stops calls while the provider is overloaded or too slow.

A 429 opens the circuit for the time in the provider's `Retry-After`, a timeout for `timeout_pause`
seconds (0: never). While it is open, each call fails at once with the last problem. After that, one
call tests the provider, and its outcome closes or reopens the circuit. Limits: each process has its
own circuit, for all cities together.
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
            # This call tests the provider. The circuit stays open for all others until the outcome
            # is known.
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
            # The provider has answered. If a later call has set another problem, that one stays.
            if self._problem is problem:
                self._problem = None

    def _open(
        self,
        problem: UpstreamBusy | UpstreamTimeout,
        seconds: float,
        *,
        before: UpstreamBusy | UpstreamTimeout | None,
    ) -> None:
        """Open the circuit; a parallel call may have opened it for longer."""
        until = time.monotonic() + seconds
        if self._problem is before or until > self._open_until:
            self._problem, self._open_until = problem, until
