"""The database file as another process sees it: read it, lock it, stamp it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any


def query(database_file: Path, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement; `sqlite3.OperationalError` when the file is not there."""
    address = f"{database_file.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return connection.execute(statement, parameters).fetchall()


def change(database_file: Path, statement: str, *parameters: Any) -> None:
    """Run one statement that changes something, and commit."""
    with closing(sqlite3.connect(database_file)) as connection, connection:
        connection.execute(statement, parameters)


@contextmanager
def write_lock(database_file: Path) -> Iterator[None]:
    """Hold the lock that every writer needs, as a backup program or a second server would."""
    connection = sqlite3.connect(database_file, timeout=30, isolation_level=None)
    with closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
