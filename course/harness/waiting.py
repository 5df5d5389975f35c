"""Waits with a deadline instead of sleeping, and makes calls at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")

_POLL = 0.02
_SLOWEST_POLL = 0.1
_SHARE_OF_THE_WAIT = 0.05  # a wait may take this much longer than needed, so it checks less often


def eventually(check: Callable[[], Result], *, within: float = 5.0) -> Result:
    """Call `check` until it returns something true, and return that.

    An `AssertionError` out of `check` counts as "not yet". After `within` seconds it raises the
    last one, or one with the last result of `check`.
    """
    began = time.monotonic()
    deadline = began + within
    while True:
        try:
            result = check()
            if result:
                return result
            failure = AssertionError(f"still {result!r} after {within} s")
        except AssertionError as error:
            failure = error
        now = time.monotonic()
        if now >= deadline:
            raise failure
        poll = min(max(_POLL, (now - began) * _SHARE_OF_THE_WAIT), _SLOWEST_POLL)
        time.sleep(min(poll, deadline - now))


def held_up(call: Callable[[], object], *, at_once: int) -> float:
    """Return how many seconds longer than one call several calls at the same time take.

    Raises the exception of a call.
    """
    alone = min(_seconds_of(call), _seconds_of(call))
    began = time.monotonic()
    outcomes = in_parallel(at_once, lambda _: call())
    together = time.monotonic() - began
    if outcomes.errors:
        raise outcomes.errors[0]
    return together - alone


def _seconds_of(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


@dataclass(frozen=True)
class Outcomes(Generic[Result]):
    """The `results` and `errors` of calls at the same time, in the order of the calls."""

    results: list[Result]
    errors: list[Exception]


def in_parallel(count: int, call: Callable[[int], Result]) -> Outcomes[Result]:
    """Run `call(0)` … `call(count - 1)`, each in its own thread; all start at the same moment."""
    barrier = threading.Barrier(count)
    results: dict[int, Result] = {}
    errors: dict[int, Exception] = {}

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = call(number)
        except Exception as error:
            errors[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Outcomes(
        [results[number] for number in sorted(results)],
        [errors[number] for number in sorted(errors)],
    )
