"""The form of the app under test: everything in one process (plain), or several processes (full).

    pytest --stage 9                       SQLite; the app does everything in one process
    pytest --stage 9 --deployment full     PostgreSQL, Redis, two API processes, a worker and beat

In the full form a private server is one process with its own database and Redis, and no worker. Its
database is a copy of a migrated one, or empty for a test that starts the server itself. All workers
of `pytest-xdist` create databases on one PostgreSQL. The environment may name servers:
`DATABASE_URL` for that PostgreSQL, `REDIS_URL` for the Redis of the shared server. A test marked
`deployment("plain")` or `deployment("full")` runs in that form only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
from filelock import FileLock

from course.catalog.stages import find_stage, load_course
from course.harness.forks import shared_directory
from course.harness.postgres import (
    NO_POSTGRES,
    Postgres,
    create_database,
    drop_database,
    postgres_is_available,
)
from course.harness.queue import CELERY, NO_REDIS, Redis, redis_is_available
from course.harness.server import LaunchedServer, ServerDidNotStart

FULL_SIZE_STAGE = 9
PLAIN, FULL = "plain", "full"


class Deployment(Protocol):
    """The settings and servers that a form of the app needs."""

    processes: int  # of the shared server

    def prepare(self, server: LaunchedServer) -> None:
        """Prepare the settings of the shared server before its start."""

    def surroundings(
        self, directory: Path, *, migrated: bool
    ) -> AbstractContextManager[dict[str, str]]:
        """Return settings for a private server; its servers exist during the `with` block.

        With `migrated` its database has all tables, otherwise none.
        """


class Plain:
    """One process without other servers."""

    processes = 1

    def prepare(self, server: LaunchedServer) -> None:
        """Do nothing: the server makes its database when it starts."""

    def surroundings(
        self,
        directory: Path,  # noqa: ARG002
        *,
        migrated: bool,  # noqa: ARG002 - migrating an SQLite file takes a tenth of a second
    ) -> AbstractContextManager[dict[str, str]]:
        """Return no settings."""
        return nullcontext({})


class Full:
    """Several processes on one PostgreSQL; each server has its own database and Redis.

    Servers cannot share a Redis, since a published message reaches clients of all its databases.
    """

    processes = 2

    def __init__(self, postgres_url: str, stage_directory: Path, shared: Path | None) -> None:
        self._postgres_url = postgres_url
        self._shared = shared  # a directory of all workers, when they share the server
        self._stage_directory = stage_directory
        self._databases = ExitStack()
        self._template = ""  # until the shared server is prepared

    def prepare(self, server: LaunchedServer) -> None:
        """Create a database and migrate it by command, as an operator does; the queue has a Redis.

        A copy of that database, made before its first use, is the template of all others.
        """
        self._template = self._migrated_database(server)
        database = self._databases.enter_context(self._database(self._template))
        server.settings["DATABASE_URL"] = database

    def _migrated_database(self, server: LaunchedServer) -> str:
        if self._shared is None:
            return self._migrate(server, self._databases.enter_context(self._database()))
        address = self._shared / "migrated-database"
        with FileLock(address.with_suffix(".lock")):
            if not address.exists():
                # The database is deleted with the server, which ends after the last worker.
                database = create_database(self._postgres_url)
                address.write_text(self._migrate(server, database), encoding="utf-8")
        return address.read_text(encoding="utf-8")

    def _migrate(self, server: LaunchedServer, database: str) -> str:
        server.settings["DATABASE_URL"] = database
        done = server.run("alembic", "upgrade", "head", cwd=self._stage_directory)
        if done.returncode != 0:
            raise ServerDidNotStart(["alembic"], done.returncode, done.stdout)
        return database

    @contextmanager
    def surroundings(self, directory: Path, *, migrated: bool) -> Iterator[dict[str, str]]:
        """Yield the addresses of a new database and of a new Redis."""
        redis = Redis(directory / "redis")
        with self._database(self._template if migrated else "") as database_url:
            redis.start()
            try:
                yield {"DATABASE_URL": database_url, "REDIS_URL": redis.url}
            finally:
                redis.process.end()

    def end(self) -> None:
        """Drop the database of the shared server."""
        self._databases.close()

    @contextmanager
    def _database(self, template: str = "") -> Iterator[str]:
        import psycopg

        url = create_database(self._postgres_url, template)
        yield url
        with suppress(psycopg.OperationalError):  # already gone after a Ctrl-C
            drop_database(url)


def is_full(config: pytest.Config) -> bool:
    """Return whether the app is tested at full size."""
    return bool(config.getoption("deployment") == FULL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses the form."""
    parser.getgroup("the app under test").addoption(
        "--deployment",
        choices=(PLAIN, FULL),
        default=PLAIN,
        help="all in one process, or PostgreSQL, Redis and several processes (default: plain)",
    )


@pytest.hookimpl(trylast=True)  # the stage has been checked by then
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; raise a usage error if the full form is impossible here."""
    config.addinivalue_line(
        "markers", "deployment(mode): runs with `--deployment` set to that mode only."
    )
    if not is_full(config):
        return
    wanted = config.getoption("stage")
    if wanted and find_stage(load_course(), wanted).number < FULL_SIZE_STAGE:
        raise pytest.UsageError(f"--deployment={FULL}: only stage {FULL_SIZE_STAGE} has it")
    if config.getoption("base_url"):
        raise pytest.UsageError(f"--deployment={FULL} launches servers: leave --base-url out")
    if not (postgres_is_available() or os.environ.get("DATABASE_URL")):
        raise pytest.UsageError(f"--deployment={FULL}: {NO_POSTGRES}")
    if not redis_is_available():
        raise pytest.UsageError(f"--deployment={FULL}: {NO_REDIS}")
    config.option.queue = CELERY
    if not os.environ.get("DATABASE_URL") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SharedPostgres())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove the tests of the other form."""
    form = config.getoption("deployment")
    modes = {item: item.get_closest_marker("deployment") for item in items}
    other = {item for item, mode in modes.items() if mode and mode.args != (form,)}
    if other:
        items[:] = [item for item in items if item not in other]
        config.hook.pytest_deselected(items=list(other))


class SharedPostgres:
    """In the process that hands tests to workers: one PostgreSQL for all of them."""

    def __init__(self) -> None:
        self._postgres: Postgres | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Start the server with the first worker, and tell each worker its address."""
        if self._postgres is None:
            self._postgres = Postgres()
            self._postgres.start()
        node.workerinput["postgres_url"] = self._postgres.url

    def pytest_unconfigure(self) -> None:
        """Stop the server."""
        if self._postgres is not None:
            self._postgres.end()


def _shared_postgres(config: pytest.Config) -> str | None:
    """Return the address of the server that all workers share, if this process is such a worker."""
    address: str | None = getattr(config, "workerinput", {}).get("postgres_url")
    return address


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a PostgreSQL server for new databases: ours, or `DATABASE_URL`."""
    existing = os.environ.get("DATABASE_URL") or _shared_postgres(request.config)
    if existing:
        yield existing
        return
    if not postgres_is_available():
        pytest.skip(NO_POSTGRES)
    postgres = Postgres()
    try:
        postgres.start()
        yield postgres.url
    finally:
        postgres.end()


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest, stage_directory: Path) -> Iterator[Deployment]:
    """The form of the app under test."""
    if not is_full(request.config):
        yield Plain()
        return
    postgres_url: str = request.getfixturevalue("postgres_url")
    is_shared = postgres_url == _shared_postgres(request.config)
    full = Full(postgres_url, stage_directory, shared_directory() if is_shared else None)
    yield full
    full.end()
