"""Bring the database's tables to what this code needs, or say why it cannot work with them."""

from pathlib import Path

from sqlalchemy import Connection

from app.config import Settings

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"


async def prepare_schema(settings: Settings, *, upgrade: bool) -> None:
    """Run the missing migrations when `upgrade` is set, else only look.

    Raises `StartupError` when the database cannot be opened, is newer than this code, or older and
    `upgrade` is not set.
    """
    # TODO 2.5: Alembic migrates the database
    raise NotImplementedError("TODO 2.5: Alembic migrates the database")


def _prepare(connection: Connection, *, upgrade: bool) -> None:
    # TODO 2.5: Alembic migrates the database
    raise NotImplementedError("TODO 2.5: Alembic migrates the database")
