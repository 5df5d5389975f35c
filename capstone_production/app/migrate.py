"""Migrates the tables to the version that this code needs, or reports why that is not possible."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import Settings
from app.database import create_engine
from app.exceptions import StartupError

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"
FIRST_WAIT = 0.2  # seconds; each further one is twice as long
LONGEST_WAIT = 5.0  # seconds
TRY_AGAIN = "08", "57P03", "53300"  # SQLSTATE: no connection, still starting, too many clients

logger = logging.getLogger(__name__)


async def prepare_schema(settings: Settings, *, upgrade: bool) -> None:
    """Run the missing migrations when `upgrade` is set; otherwise only check the version.

    Waits up to `STARTUP_WAIT` seconds for a database that does not answer yet. Raises
    `StartupError` when the database cannot be opened, is newer than this code, or is older and
    `upgrade` is not set.
    """
    with explained():
        # A separate engine, since migrations change settings of their connection.
        engine = create_engine(settings, "migrate")
        try:
            await wait_for_database(engine, settings.startup_wait)
            async with engine.begin() as connection:
                await connection.run_sync(_prepare, upgrade=upgrade)
        finally:
            await engine.dispose()


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of Alembic or of the database into a `StartupError` of one line."""
    try:
        yield
    except CommandError as error:  # such as two migrations with the same predecessor
        raise StartupError(f"The migrations cannot run: {error}") from error
    except (SQLAlchemyError, ImportError, OSError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise StartupError(f"DATABASE_URL: the database does not work: {reason}") from error
    except (TypeError, ValueError) as error:
        raise StartupError("DATABASE_URL: wrong parameter after the ?: remove it") from error


async def wait_for_database(engine: AsyncEngine, patience: float) -> None:
    """Return when the database answers; after `patience` seconds raise the connection's error."""
    give_up_at, wait = time.monotonic() + patience, FIRST_WAIT
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as error:
            if not may_come_up(error) or time.monotonic() + wait > give_up_at:
                raise
            reason = getattr(error, "orig", None) or error
            logger.warning("The database does not answer, next try in %.1f s: %s", wait, reason)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            return


def may_come_up(error: Exception) -> bool:
    """Return whether the server may still be starting; False for a wrong setting."""
    if isinstance(error, OSError):  # asyncpg: connection refused, or no answer
        return True
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(code, str) and code.startswith(TRY_AGAIN)


def _prepare(connection: Connection, *, upgrade: bool) -> None:
    config = Config(ALEMBIC_INI)
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    current = MigrationContext.configure(connection).get_current_revision()
    if current not in (None, *(script.revision for script in scripts.walk_revisions())):
        raise StartupError(
            f"The database is at revision {current}, which is newer than this code ({head}): start"
            " the newer version, or downgrade the database with it"
        )
    if upgrade:
        command.upgrade(config, "head")
    elif current != head:
        raise StartupError(
            f"The database is at revision {current}, this code needs {head}:"
            " run `alembic upgrade head`"
        )
