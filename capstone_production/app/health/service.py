"""Whether this process can serve, for whoever decides where requests go.

Promises: an answer within little more than a second, whatever hangs; asking often costs nothing;
nothing that would help an attacker is in it. The log has the error of a check, once. A check
returns when the thing that we depend on works, and raises when it does not.
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


class SchemaBehind(Exception):
    """The tables are older than this code."""


class OnlyReads(Exception):
    """The database takes no changes: it is a copy of another one, or was told so."""


class DatabaseCheck:
    """The database answers, takes changes, and its tables are not older than this code.

    Newer ones are no fault: a migration runs while older replicas still serve.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        scripts = ScriptDirectory.from_config(Config(ALEMBIC_INI))
        self._older = {script.revision for script in scripts.walk_revisions()}
        self._older.discard(scripts.get_current_head() or "")

    async def __call__(self) -> None:
        """Look at both; raises `OnlyReads`, `SchemaBehind`, and what connecting raises."""
        async with self._engine.connect() as connection:
            if await only_reads(connection):
                await connection.invalidate()  # a new one may lead to the right server
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
        """Send a ping; raises what that raises."""
        await self._redis.ping()


class MediaCheck:
    """Pictures can be stored."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __call__(self) -> None:
        """Look at the directory in a thread: a disk may not answer."""
        if not await to_thread.run_sync(os.access, self._directory, os.W_OK | os.X_OK):
            raise OSError(f"{self._directory} cannot be written to")
