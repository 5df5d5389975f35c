"""Alembic runs this file for each of its commands: it connects and migrates in a transaction."""

import asyncio
import logging

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from app.config import load_settings
from app.database import create_engine
from app.exceptions import StartupError
from app.migrate import explained, wait_for_database
from app.models import Base  # from app.models, which imports every table

MIGRATION_LOCK = 7_264_110_501  # any number, the same in all processes


def run_migrations(connection: Connection) -> None:
    """Run the migrations in one transaction of this connection."""
    if connection.dialect.name == "sqlite":
        # A rebuilt table replaces the old one: rows that refer to it must not be deleted with it.
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        # The driver begins no transaction for CREATE TABLE. With this one, a second process that
        # starts at the same time waits, and then has nothing to do.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        # When ten processes start at once, one migrates. The others wait, then find nothing to do.
        # The lock ends with the transaction, also when the process is killed.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot change a column: Alembic rebuilds the table
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def print_migrations() -> None:
    """Print the SQL that would run: `alembic upgrade head --sql`."""
    context.configure(url=load_settings().database_url, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def run_as_command() -> None:
    """Connect to the configured database and migrate it."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("alembic.runtime.migration").setLevel(logging.INFO)
    settings = load_settings()
    engine = create_engine(settings, "migrate")
    try:
        await wait_for_database(engine, settings.startup_wait)
        async with engine.begin() as connection:
            await connection.run_sync(run_migrations)
    finally:
        await engine.dispose()
        # aiosqlite 0.22: after a file that it cannot open, its thread still uses the loop.
        await asyncio.sleep(0.1)


if (connection := context.config.attributes.get("connection")) is not None:
    run_migrations(connection)  # called by the application when it starts
else:
    try:
        with explained():
            if context.is_offline_mode():
                print_migrations()
            else:
                asyncio.run(run_as_command())
    except StartupError as error:
        raise CommandError(str(error)) from None  # Alembic prints it in one line
