"""Reports whether this process can serve, so that a load balancer can choose a replica.

Promises: an answer within little more than a second, even when a check hangs; frequent requests are
cheap; the answer has no details for an attacker. The log has the error of a check, once. A check
returns when its dependency works, and raises when it does not.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from alembic.config import Config
from alembic.script import ScriptDirectory
from anyio import to_thread
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.migrate import ALEMBIC_INI

ANSWERS_WITHIN = 1.0  # seconds, for all checks at once
FRESH_FOR = 0.5  # seconds
NO_ANSWER = "no answer in time"
UNUSABLE = "not usable"
BEHIND = "the schema is older than the code"
READ_ONLY = "read-only"

Check = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


class Status(StrEnum):
    """The state of this process, which tells a load balancer where to send requests."""

    READY = "ready"
    DEGRADED = "degraded"  # send requests: the failed part has a substitute, or is not important
    DRAINING = "draining"  # send no more requests: the process is about to stop
    UNAVAILABLE = "unavailable"  # send requests elsewhere


class CheckResult(BaseModel):
    """The state of one dependency."""

    status: Literal["up", "down"]
    reason: str | None = None


class Report(BaseModel):
    """The state of the process, and the results of its checks."""

    status: Status
    checks: dict[str, CheckResult]


class Readiness:
    """Runs the checks. A failed `needed` one means unavailable, a failed `useful` one degraded."""

    def __init__(self, *, needed: Mapping[str, Check], useful: Mapping[str, Check]) -> None:
        self._needed = frozenset(needed)
        self._checks = {**needed, **useful}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, CheckResult] = {}
        self._looked_at = -FRESH_FOR
        self._looking = asyncio.Lock()

    async def report(self) -> Report:
        """Return the state, at most `FRESH_FOR` seconds old."""
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
        # A check that still hangs from last time is not started a second time.
        if task is None or task.done():
            task = self._tasks[name] = asyncio.ensure_future(self._checks[name]())
        await asyncio.wait({task}, timeout=ANSWERS_WITHIN)
        error = None if task.done() and not task.cancelled() else TimeoutError(NO_ANSWER)
        task.cancel()  # without waiting for its cleanup
        result = as_result(error or task.exception())
        before = self._results.get(name, CheckResult(status="up"))
        if result != before:
            logger.warning("%s is %s: %r", name, result.status, error or task.exception())
        return result


def as_result(error: BaseException | None) -> CheckResult:
    """Return the public result for an error, without its details."""
    if error is None:
        return CheckResult(status="up")
    if isinstance(error, SchemaBehind):
        return CheckResult(status="down", reason=BEHIND)
    if isinstance(error, OnlyReads):
        return CheckResult(status="down", reason=READ_ONLY)
    reason = NO_ANSWER if isinstance(error, TimeoutError) else UNUSABLE
    return CheckResult(status="down", reason=reason)


class SchemaBehind(Exception):
    """The tables are older than this code."""


class OnlyReads(Exception):
    """The database refuses changes: it is a replica, or was set to read-only."""


class DatabaseCheck:
    """The database answers, accepts changes, and its tables are not older than this code.

    Newer tables are allowed, because a migration runs while older replicas still serve.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        scripts = ScriptDirectory.from_config(Config(ALEMBIC_INI))
        self._older = {script.revision for script in scripts.walk_revisions()}
        self._older.discard(scripts.get_current_head() or "")

    async def __call__(self) -> None:
        """Check both; raises `OnlyReads`, `SchemaBehind`, and the errors of the connection."""
        async with self._engine.connect() as connection:
            if await only_reads(connection):
                await connection.invalidate()  # a new connection may lead to the primary
                raise OnlyReads
            revision = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        if revision is None or revision in self._older:
            raise SchemaBehind


async def only_reads(connection: AsyncConnection) -> bool:
    """Return whether the server would refuse a change."""
    if connection.dialect.name == "sqlite":
        return False
    return bool(await connection.scalar(text("SHOW transaction_read_only")) == "on")


class RedisCheck:
    """Redis answers."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def __call__(self) -> None:
        """Send a ping; raises `REDIS_ERRORS`."""
        await self._redis.ping()


class MediaCheck:
    """Pictures can be stored."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self) -> None:
        """Check the directory in a thread, since a disk may hang."""
        if not await to_thread.run_sync(os.access, self._directory, os.W_OK | os.X_OK):
            raise OSError(f"MEDIA_DIR: {self._directory} is not writable")
