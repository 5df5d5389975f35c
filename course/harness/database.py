"""Access to a server's database from another program: read, change and lock it.

The statements of a test are SQL that SQLite and PostgreSQL both understand, with `?` for a
parameter. A test that is about one of the two is marked `deployment(mode)`.

psycopg is imported only when a test uses PostgreSQL: its import takes longer than that of the whole
harness.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import psycopg

Rows = list[tuple[Any, ...]]


class Database(Protocol):
    """The operations of a test on the database, without its server."""

    def query(self, statement: str, *parameters: Any) -> Rows:
        """Return the rows of a statement that only reads."""

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run one statement that changes something, and commit."""

    def write_lock(self) -> AbstractContextManager[None]:
        """Hold the lock that every writer needs during the `with` block."""

    def text(self) -> str:
        """Return its whole content as text."""

    def tables(self) -> list[str]:
        """Return the names of its tables."""

    def foreign_keys(self, table: str) -> dict[str, str]:
        """Return which column refers to which table."""

    def is_untouched(self) -> bool:
        """Return whether it is still empty."""


class SQLiteFile:
    """A database file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def query(self, statement: str, *parameters: Any) -> Rows:
        """Return the rows; raise `sqlite3.OperationalError` if the file is missing."""
        address = f"{self.file.as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute(statement, parameters).fetchall()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run one statement that changes something, and commit."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(statement, parameters)

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock like a backup program or a second server."""
        connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
        with closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def text(self) -> str:
        """Return its whole content as text."""
        with closing(sqlite3.connect(self.file)) as connection:
            return "\n".join(connection.iterdump())

    def tables(self) -> list[str]:
        """Return the names of its tables."""
        rows = self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [name for (name,) in rows]

    def foreign_keys(self, table: str) -> dict[str, str]:
        """Return which column refers to which table."""
        return dict(self.query('SELECT "from", "table" FROM pragma_foreign_key_list(?)', table))

    def is_untouched(self) -> bool:
        """Return whether the file is missing."""
        return not self.file.exists()


class PostgresDatabase:
    """A database of a PostgreSQL server, at the address that the app uses."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, statement: str, *parameters: Any) -> Rows:
        """Return the rows."""
        with self._connect() as connection:
            return connection.execute(_for_psycopg(statement), parameters).fetchall()

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run one statement that changes something, and commit."""
        with self._connect() as connection:
            connection.execute(_for_psycopg(statement), parameters)

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Lock every table for writers; readers do not wait."""
        from psycopg import sql

        with self._connect() as connection:
            tables = [sql.Identifier(table) for table in self.tables()]
            lock = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE")
            connection.execute(lock.format(sql.SQL(", ").join(tables)))
            yield

    @contextmanager
    def read_lock(self, table: str) -> Iterator[None]:
        """Lock a table for writers and readers during the `with` block."""
        from psycopg import sql

        with self._connect() as connection:
            lock = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
            connection.execute(lock.format(sql.Identifier(table)))
            yield

    def text(self) -> str:
        """Return its whole content, a line for each row."""
        rows = [self.query(f'SELECT t::text FROM "{table}" t') for table in self.tables()]  # noqa: S608
        return "\n".join(line for table in rows for (line,) in table)

    def tables(self) -> list[str]:
        """Return the names of its tables."""
        rows = self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [name for (name,) in rows]

    def foreign_keys(self, table: str) -> dict[str, str]:
        """Return which column refers to which table; a key of two columns is not expected."""
        return dict(
            self.query(
                "SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c"
                " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]"
                " WHERE c.contype = 'f' AND c.conrelid = ?::regclass",
                table,
            )
        )

    def is_untouched(self) -> bool:
        """Return whether it has no tables."""
        return not self.tables()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        return psycopg.connect(self.url.replace("+asyncpg", ""))


def database_at(url: str) -> Database:
    """Return the database that a `DATABASE_URL` names."""
    if url.startswith("postgresql"):
        return PostgresDatabase(url)
    return SQLiteFile(Path(urlsplit(url).path[1:]))


def _for_psycopg(statement: str) -> bytes:
    return statement.replace("%", "%%").replace("?", "%s").encode()
