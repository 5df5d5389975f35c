"""Bring the database's tables to what this code needs, or say why it cannot work with them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.database import create_engine
from app.exceptions import StartupError

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"


async def prepare_schema(settings: Settings, *, upgrade: bool) -> None:
    """Run the missing migrations when `upgrade` is set, else only look.

    Raises `StartupError` when the database cannot be opened, is newer than this code, or older and
    `upgrade` is not set.
    """
    with explained():
        # An engine of its own: migrations change settings of their connection.
        engine = create_engine(settings)
        try:
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
    except (TypeError, ValueError) as error:
        raise StartupError("DATABASE_URL: a parameter after the ? is not understood") from error
    except (SQLAlchemyError, ImportError, sqlite3.Error) as error:
        reason = getattr(error, "orig", None) or error
        raise StartupError(f"DATABASE_URL: the database cannot be used: {reason}") from error


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
