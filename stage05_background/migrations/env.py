"""What Alembic runs for each of its commands: connect, then migrate in one transaction."""

import asyncio
import logging

from alembic import context
from sqlalchemy import Connection

from app.config import load_settings
from app.database import create_engine
from app.models import Base  # not from app.database: this one knows every table


def run_migrations(connection: Connection) -> None:
    """Migrate over this connection, all or nothing."""
    # Making a table anew drops the old one: what refers to its rows must not go with them.
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    # The driver begins no transaction for CREATE TABLE. This one also makes a second process
    # that starts at the same time wait, and then find nothing left to do.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot change a column: Alembic makes the table anew
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate() -> None:
    """Migrate the configured database over a connection of its own."""
    engine = create_engine(load_settings())
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run_migrations)
    finally:
        await engine.dispose()


logging.basicConfig(format="%(message)s")
logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
asyncio.run(connect_and_migrate())
