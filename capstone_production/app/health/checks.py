"""Whether what we depend on works. A check returns when it does, and raises when it does not."""

import os
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from anyio import to_thread
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.migrate import ALEMBIC_INI


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
