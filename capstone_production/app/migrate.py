"""Bring the database's tables to what this code needs, or say why it cannot work with them."""

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
TRY_AGAIN = "08", "57P03", "53300"  # SQLSTATE: no connection, it is starting, it has too many

logger = logging.getLogger(__name__)


async def prepare_schema(settings: Settings, *, upgrade: bool) -> None:
    """Run the missing migrations when `upgrade` is set, else only look.

    Waits up to `STARTUP_WAIT` seconds for a database that does not answer yet. Raises
    `StartupError` when it cannot be opened, is newer than this code, or older and `upgrade` is not
    set.
    """
    with explained():
        # An engine of its own: migrations change settings of their connection.
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
    except CommandError as error:  # such as two migrations that follow the same one
        raise StartupError(f"The migrations cannot run: {error}") from error
    except (SQLAlchemyError, ImportError, OSError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise StartupError(f"DATABASE_URL: the database cannot be used: {reason}") from error
    except (TypeError, ValueError) as error:
        raise StartupError("DATABASE_URL: a parameter after the ? is not understood") from error


async def wait_for_database(engine: AsyncEngine, patience: float) -> None:
    """Return when the database answers; raises what connecting raises after `patience` seconds."""
    give_up_at, wait = time.monotonic() + patience, FIRST_WAIT
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as error:
            if not may_come_up(error) or time.monotonic() + wait > give_up_at:
                raise
            reason = getattr(error, "orig", None) or error
            logger.warning("Waiting %.1f s for the database: %s", wait, reason)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            return


def may_come_up(error: Exception) -> bool:
    """Return whether the error is one of a server that is not there yet, not of a wrong setting."""
    if isinstance(error, OSError):  # asyncpg: nobody listens, or nobody answers
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
            f"The database is at revision {current}, which this code does not know: it belongs to a"
            f" newer version (this one ends at {head})"
        )
    if upgrade:
        command.upgrade(config, "head")
    elif current != head:
        raise StartupError(
            f"The database is at revision {current}, this code needs {head}: alembic upgrade head"
        )
