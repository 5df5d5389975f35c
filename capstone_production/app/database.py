"""The database: how to connect, and what all tables share."""

import math
import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry

from app.config import Settings

CONNECT_TIMEOUT = 5  # seconds
TRUSTED_FOR = 1.0  # seconds, after which an idle connection is tested before use
USED_AT = "used_at"  # a key in the pool's `info` of a connection
# SQLSTATE, or its first letters, of errors that make a connection useless. A driver notices that a
# connection is closed, but not that it leads to the wrong server.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
USELESS = (
    "08",  # the connection is broken
    "25006",  # the server is read-only: after a failover another one is the primary
    "25P03",  # the server ended the session: a transaction was idle for too long
    "25P04",  # the server ended the session: a transaction took too long
    "57P",  # the server stops, starts, has crashed, or has removed the database
)


class UTCDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so reading adds UTC again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return what is stored."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return what the application sees."""
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC))


class Base(DeclarativeBase):
    """The base of all tables."""

    # 64 bits. SQLite calls that INTEGER, and only an INTEGER column gets new ids by itself.
    type_annotation_map = {
        int: BigInteger().with_variant(Integer(), "sqlite"),
        datetime: UTCDateTime(),
    }

    # With fixed names for constraints, a later migration can refer to them.
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


def create_engine(settings: Settings, application_name: str = "api") -> AsyncEngine:
    """Return an engine: a pool that opens connections when they are needed.

    `application_name` is what PostgreSQL calls these connections in `pg_stat_activity`.
    """
    url = make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        return create_postgresql_engine(url, settings, application_name)
    engine = create_async_engine(
        url,
        connect_args={
            # A transaction that writes takes the lock when it begins, or waits up to `timeout`.
            "isolation_level": "IMMEDIATE",
            "timeout": settings.database_busy_timeout,
        },
        hide_parameters=True,  # the log shows the statement of an error, not its data
    )
    event.listen(engine.sync_engine, "connect", prepare_connection)
    return engine


def create_postgresql_engine(url: URL, settings: Settings, application_name: str) -> AsyncEngine:
    """Return an engine with a bounded pool: without a free connection a request waits, then 503."""
    milliseconds = str(int(settings.database_statement_timeout * 1000))
    engine = create_async_engine(
        url,
        connect_args={
            "timeout": CONNECT_TIMEOUT,
            "server_settings": {
                "application_name": application_name,
                # The server ends long statements, because the client has gone by then.
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
            },
        },
        hide_parameters=True,  # the log shows the statement of an error, not its data
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        pool_timeout=settings.database_pool_timeout,
        pool_recycle=settings.database_pool_recycle,
    )
    event.listen(engine.sync_engine, "checkout", check_connection)
    event.listen(engine.sync_engine, "checkin", note_use)
    event.listen(engine.sync_engine, "handle_error", note_disconnect)
    return engine


def check_connection(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Make the pool replace a connection that a restart of the server has broken.

    The driver knows when the server has closed a connection. Only an idle connection is also tested
    with a ping: `pool_pre_ping` would test each time, with three more round trips for each request.
    """
    try:
        if connection.driver_connection.is_closed():
            raise ConnectionError("The server has closed this connection")
        if time.monotonic() - record.info.get(USED_AT, math.inf) > TRUSTED_FOR:
            connection.ping()
    except Exception as error:
        raise InvalidatePoolError from error


def note_disconnect(context: ExceptionContext) -> None:
    """Make the pool drop its connections after an error that makes them useless."""
    code = getattr(context.original_exception, "sqlstate", None)
    if isinstance(code, str) and code.startswith(USELESS):
        context.is_disconnect = True


def note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    """Remember the time when the connection went back to the pool."""
    record.info[USED_AT] = time.monotonic()


def prepare_connection(connection: Any, _record: object) -> None:
    """Set the options that SQLite needs on each new connection."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers and a writer do not wait for each other
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
