"""Whether this process can serve, for whoever decides where requests go.

Promises: an answer within little more than a second, whatever hangs; asking often costs nothing;
nothing that would help an attacker is in it. What a check raised goes to the log, once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel

from app.health.checks import OnlyReads, SchemaBehind

ANSWERS_WITHIN = 1.0  # seconds, for all checks at once
FRESH_FOR = 0.5  # seconds
NO_ANSWER = "no answer in time"
UNUSABLE = "it cannot be used"
BEHIND = "its schema is older than this code"
READ_ONLY = "it takes no changes"

Check = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


class Status(StrEnum):
    """The state of this process: where requests should go."""

    READY = "ready"
    DEGRADED = "degraded"  # send requests: what does not work has a substitute, or is a small part
    DRAINING = "draining"  # send no more requests: it is about to stop
    UNAVAILABLE = "unavailable"  # send requests elsewhere


class CheckResult(BaseModel):
    """How one dependency is."""

    status: Literal["up", "down"]
    reason: str | None = None


class Report(BaseModel):
    """How the process is."""

    status: Status
    checks: dict[str, CheckResult]


class Readiness:
    """Runs the checks: without what is `needed` nothing works, without the `useful` most does."""

    def __init__(self, *, needed: Mapping[str, Check], useful: Mapping[str, Check]) -> None:
        self._needed = frozenset(needed)
        self._checks = {**needed, **useful}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, CheckResult] = {}
        self._looked_at = -FRESH_FOR
        self._looking = asyncio.Lock()

    async def report(self) -> Report:
        """Return how everything is, or was a moment ago."""
        async with self._looking:
            if time.monotonic() - self._looked_at >= FRESH_FOR:
                results = await asyncio.gather(*map(self._look_at, self._checks))
                self._results = dict(zip(self._checks, results, strict=True))
                self._looked_at = time.monotonic()
        down = {name for name, result in self._results.items() if result.status == "down"}
        status = Status.DEGRADED if down else Status.READY
        if down & self._needed:
            status = Status.UNAVAILABLE
        return Report(status=status, checks=self._results)

    async def _look_at(self, name: str) -> CheckResult:
        task = self._tasks.get(name)
        # One that still hangs from last time is not joined by another.
        if task is None or task.done():
            task = self._tasks[name] = asyncio.ensure_future(self._checks[name]())
        await asyncio.wait({task}, timeout=ANSWERS_WITHIN)
        error = None if task.done() and not task.cancelled() else TimeoutError(NO_ANSWER)
        task.cancel()  # how long it needs to clean up is not our concern
        result = as_result(error or task.exception())
        before = self._results.get(name, CheckResult(status="up"))
        if result != before:
            logger.warning("%s is %s: %r", name, result.status, error or task.exception())
        return result


def as_result(error: BaseException | None) -> CheckResult:
    """Return what may be told of an error."""
    if error is None:
        return CheckResult(status="up")
    if isinstance(error, SchemaBehind):
        return CheckResult(status="down", reason=BEHIND)
    if isinstance(error, OnlyReads):
        return CheckResult(status="down", reason=READ_ONLY)
    reason = NO_ANSWER if isinstance(error, TimeoutError) else UNUSABLE
    return CheckResult(status="down", reason=reason)
