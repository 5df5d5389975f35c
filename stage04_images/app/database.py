"""The database: how to connect, and what all tables share."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.config import Settings


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


def create_engine(settings: Settings) -> AsyncEngine:
    """Return an engine: a pool that opens connections when they are needed."""
    engine = create_async_engine(
        settings.database_url,
        connect_args={
            # A transaction that writes takes the lock when it begins, or waits up to `timeout`.
            "isolation_level": "IMMEDIATE",
            "timeout": settings.database_busy_timeout,
        },
        hide_parameters=True,  # the log shows the statement of an error, not its data
    )
    event.listen(engine.sync_engine, "connect", prepare_connection)
    return engine


def prepare_connection(connection: Any, _record: object) -> None:
    """Set the options that SQLite needs on each new connection."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers and a writer do not wait for each other
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
