"""Alembic runs this file for each of its commands: it connects and migrates in a transaction."""

import asyncio
import logging

from alembic import context
from sqlalchemy import Connection

from app.config import load_settings
from app.database import create_engine
from app.models import Base  # from app.models, which imports every table


def run_migrations(connection: Connection) -> None:
    """Run the migrations in one transaction of this connection."""
    # A rebuilt table replaces the old one: rows that refer to it must not be deleted with it.
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    # The driver begins no transaction for CREATE TABLE. With this one, a second process that
    # starts at the same time waits, and then has nothing to do.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot change a column: Alembic rebuilds the table
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate() -> None:
    """Migrate the configured database over a new connection."""
    engine = create_engine(load_settings())
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run_migrations)
    finally:
        await engine.dispose()


logging.basicConfig(format="%(message)s")
logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
asyncio.run(connect_and_migrate())
