"""Migrates the database to the newest revision."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from anyio import to_thread

ALEMBIC_INI = Path(__file__).resolve().parent.parent / "alembic.ini"


async def upgrade_schema() -> None:
    """Run the missing migrations. When two processes start at once, one waits for the other."""
    # In a thread: migrations/env.py runs an event loop of its own.
    await to_thread.run_sync(command.upgrade, Config(ALEMBIC_INI), "head")
