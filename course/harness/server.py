"""The app under test: a process of our own, or a server that somebody else started.

A server that we start gets a free port, an empty working directory, and an environment with only
the given settings: no variable, `.env` or database of the user reaches it. Only processes that were
started here are stopped here, each with its whole process group.
"""

from __future__ import annotations

import atexit
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Protocol

import httpx

from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, Stage
from course.harness import profile
from course.harness.database import Database, database_at
from course.harness.forks import Child, start_process
from course.harness.ports import free_port
from course.harness.signals import interrupts_deferred

FIRST_STAGE_WITH_A_DATABASE = 2
FIRST_STAGE_WITH_USERS = 3
FIRST_STAGE_WITH_ROLES = 7
FIRST_STAGE_WITH_LIMITS = 9

FIRST_ADMIN = {
    "FIRST_ADMIN_USERNAME": "first-admin",
    "FIRST_ADMIN_PASSWORD": "of the tests: administers 1",
}

START_DEADLINE = 30.0
STOP_DEADLINE = 10.0
_POLL = 0.02
_PORT_ATTEMPTS = 5
_PORT_TAKEN = re.compile(r"address already in use|WinError 10048", re.IGNORECASE)
_LOG_TAIL_BYTES = 16_384


class Server(Protocol):
    """The properties and methods that every server has."""

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""

    @property
    def base_urls(self) -> Sequence[str]:
        """The addresses of all processes of this app; `base_url` is the first."""

    @property
    def has_users(self) -> bool:
        """Whether todos need a token here (from stage 3 on)."""

    def log_mark(self) -> int:
        """Return the present length of the log, for `log_since`."""

    def log_since(self, mark: int) -> str:
        """Return the log since `mark`; empty if we cannot read the log."""

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log; empty if we cannot read it."""


class ServerDidNotStart(Exception):
    """The process ended, or gave no answer over HTTP before the deadline.

    `exit_code` is None if it was still running; `log` is the output of this attempt.
    """

    def __init__(self, command: Sequence[str], exit_code: int | None, log: str) -> None:
        self.exit_code = exit_code
        self.log = log
        happened = "gave no answer in time" if exit_code is None else f"exit code {exit_code}"
        tail = "\n".join(log.splitlines()[-20:]) or "(it printed nothing)"
        super().__init__(f"{' '.join(command)}\ndid not start: {happened}. Its log ends:\n{tail}")


class AttachedServer:
    """A server that somebody else started: tests can only send it requests."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return self._base_url

    @property
    def base_urls(self) -> Sequence[str]:
        """The same address, as the only one."""
        return (self._base_url,)

    @cached_property
    def has_users(self) -> bool:
        """True if the server has users. Raises `httpx.HTTPError` if it is down.

        A list of todos that is open by mistake does not mean that there are no users.
        """
        statuses = set[int]()
        for path in ("/todos", "/users/me"):
            address = self.base_url + profile.active().path(path)
            # The head of the answer is enough, since tests check the body.
            with httpx.stream("GET", address, trust_env=False) as answer:
                statuses.add(answer.status_code)
        return not statuses.isdisjoint((httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN))

    def log_mark(self) -> int:
        """Return 0, since we cannot read its log."""
        return 0

    def log_since(self, mark: int) -> str:  # noqa: ARG002 - the protocol's
        """Return nothing, since we cannot read its log."""
        return ""

    def log_tail(self, lines: int = 20) -> str:  # noqa: ARG002 - the protocol's
        """Return nothing, since we cannot read its log."""
        return ""


class LaunchedServer:
    """A server process that the harness owns.

    `{port}` in an argument of `command` stands for the port. `settings` is the part of its
    environment that a test chooses; change it before `start` or `restart`. The process works in
    `data_dir`, which is empty at first; its log is elsewhere. `forked_for` is the app's directory
    if the process may be a fork with the packages imported (`forks.py`).
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        settings: Mapping[str, str] | None = None,
        *,
        working_directory: Path | None = None,
        has_users: bool = False,
        forked_for: Path | None = None,
    ) -> None:
        self.command = tuple(command)
        self.settings = dict(settings or {})
        self.home = directory / "home"
        self.data_dir = working_directory or directory / "data"
        self.log_file = directory / "server.log"
        self._has_users = has_users
        self._forked_for = forked_for
        self._port: int | None = None
        self._process: Child | None = None
        self.home.mkdir(parents=True, exist_ok=True)
        self.data_dir.mkdir(parents=True, exist_ok=True)

    @property
    def base_url(self) -> str:
        """Scheme, host and port; a restart keeps the port if it is still free."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_urls(self) -> Sequence[str]:
        """The same address, since it is one process."""
        return (self.base_url,)

    @property
    def has_users(self) -> bool:
        """Whether todos need a token here."""
        return self._has_users

    @property
    def database_file(self) -> Path:
        """The database file from stage 2 on, unless a test has set another `DATABASE_URL`."""
        return self.data_dir / "todo.db"

    @property
    def database(self) -> Database:
        """The database that the settings name."""
        return database_at(self.settings["DATABASE_URL"])

    @property
    def pid(self) -> int:
        """The process id of the running server; `RuntimeError` when it was never started."""
        return self._started().pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self in _running and self._started().poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), None while it runs."""
        return self._started().poll()

    def choose_port(self) -> None:
        """Choose a free port, so that `base_url` is known before the start."""
        self._port = self._port or free_port()

    def start(self, *, within: float = START_DEADLINE) -> None:
        """Start the process and return when it answers; raise `ServerDidNotStart` otherwise."""
        if self in _running:
            raise RuntimeError("this server is running already")
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = self._port or free_port()
            try:
                self._start_on(port, within)
            except ServerDidNotStart as error:
                # Between choosing a port and binding it another process may take it.
                if attempt == _PORT_ATTEMPTS or not _PORT_TAKEN.search(error.log):
                    raise
                self._port = None
            else:
                return

    def stop(self, signal_number: int = signal.SIGTERM, *, within: float = STOP_DEADLINE) -> int:
        """Ask the process to end and return its exit code; kill it after `within` seconds (-9)."""
        process = self._started()
        process.send_signal(signal_number)
        try:
            return process.wait(within)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self.kill()  # also the rest of its group

    def kill(self) -> int:
        """Kill the process and its group like a power cut; return its exit code."""
        process = self._started()
        if self not in _running:  # another process may have this number now
            return process.wait()
        if sys.platform == "win32":
            process.kill()
        else:
            with suppress(ProcessLookupError, PermissionError):  # macOS: only zombies are left
                os.killpg(process.pid, signal.SIGKILL)
        _running.discard(self)
        exit_code = process.wait(STOP_DEADLINE)
        _note_process("-", process.pid)
        return exit_code

    def end(self) -> None:
        """Kill the process if it runs: for a teardown, which may find any state."""
        if self in _running:
            self.kill()

    def restart(self) -> None:
        """Stop the process cleanly and start it again on the same data."""
        if self in _running:
            self.stop()
        self.start()

    def run(
        self, *command: str, cwd: Path | None = None, within: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the app's environment with the server's settings and wait for its end.

        Returns its exit code and output (stdout and stderr together, in `stdout`). It works in
        `data_dir`, or in `cwd`. Raises `FileNotFoundError` for an unknown command.
        """
        environment = self.environment()
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise FileNotFoundError(f"no {command[0]} beside {self.command[0]}")
        return subprocess.run(
            [program, *command[1:]],
            cwd=cwd or self.data_dir,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=within,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the process: the settings and nothing of the user's."""
        programs = str(Path(self.command[0]).parent)
        environment = {
            "PATH": os.pathsep.join([programs, os.defpath]),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
        }
        if sys.platform == "win32":  # sockets do not work without it
            environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
        return environment | self.settings

    def log_mark(self) -> int:
        """Return the size of the log in bytes."""
        try:
            return self.log_file.stat().st_size
        except FileNotFoundError:
            return 0

    def log_since(self, mark: int) -> str:
        """Return what was logged since `mark`."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(mark)
            return log.read().decode("utf-8", errors="replace")

    def log_text(self) -> str:
        """Return the whole log, of every start."""
        return self.log_since(0)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        tail = self.log_since(max(0, self.log_mark() - _LOG_TAIL_BYTES))
        return "\n".join(tail.splitlines()[-lines:])

    def _start_on(self, port: int, within: float) -> None:
        command = [argument.replace("{port}", str(port)) for argument in self.command]
        mark = self.log_mark()
        with interrupts_deferred():
            self._process = start_process(
                command, self.data_dir, self.environment(), self.log_file, app=self._forked_for
            )
            _running.add(self)
            _note_process("+", self._process.pid)
        self._port = port
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                exit_code = self.kill()  # the process is gone, but its group may not be
                raise ServerDidNotStart(command, exit_code, self.log_since(mark))
            if _answers(port):
                return
            time.sleep(_POLL)
        self.kill()
        raise ServerDidNotStart(command, None, self.log_since(mark))

    def _started(self) -> Child:
        if self._process is None:
            raise RuntimeError("this server was never started")
        return self._process


class ReplicatedServer(LaunchedServer):
    """Several processes of one app: the same settings, directory and log, a port for each."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        processes: int,
        has_users: bool,
        forked_for: Path | None = None,
    ) -> None:
        super().__init__(command, directory, has_users=has_users, forked_for=forked_for)
        self.replicas = [
            LaunchedServer(command, directory, has_users=has_users, forked_for=forked_for)
            for _ in range(processes - 1)
        ]
        for replica in self.replicas:
            replica.settings = self.settings

    @property
    def base_urls(self) -> Sequence[str]:
        """The address of every process."""
        return (self.base_url, *(replica.base_url for replica in self.replicas))

    def start(self, *, within: float = START_DEADLINE) -> None:
        """Start them one after the other; raise `ServerDidNotStart` for the first that does not."""
        super().start(within=within)
        for replica in self.replicas:
            replica.start(within=within)

    def stop(self, signal_number: int = signal.SIGTERM, *, within: float = STOP_DEADLINE) -> int:
        """Stop them one after the other; return the first exit code that is not 0, else 0."""
        exit_codes = [replica.stop(signal_number, within=within) for replica in self.replicas]
        exit_codes.append(super().stop(signal_number, within=within))
        return next((code for code in exit_codes if code), 0)

    def kill(self) -> int:
        """End all of them at once."""
        for replica in self.replicas:
            replica.end()
        return super().kill()


def stage_server(
    stage: Stage, directory: Path, *, processes: int = 1, forked: bool = False, **settings: str
) -> LaunchedServer:
    """Return a server of the stage, not started yet, with the settings that suit a test.

    The app runs from the stage's directory but works in `directory`, so it does not use a learner's
    own database and `.env`. A `forked` server starts much faster. Raises `CourseError` if the
    environment cannot be made.
    """
    command = [str(stage_python(stage)), "-m", "uvicorn", "app.main:app"]
    command += ["--app-dir", str(ROOT / stage.directory), "--host", "127.0.0.1", "--port", "{port}"]
    has_users = stage.number >= FIRST_STAGE_WITH_USERS
    forked_for = ROOT / stage.directory if forked else None
    if processes == 1:
        server = LaunchedServer(command, directory, has_users=has_users, forked_for=forked_for)
    else:
        server = ReplicatedServer(
            command, directory, processes=processes, has_users=has_users, forked_for=forked_for
        )
    if stage.number >= FIRST_STAGE_WITH_A_DATABASE:
        server.settings["DATABASE_URL"] = f"sqlite+aiosqlite:///{server.database_file.as_posix()}"
    if has_users:
        server.settings["BCRYPT_ROUNDS"] = "4"  # the minimum, since every test registers users
        server.settings["JWT_SECRET"] = "of the tests: production takes no default " + "x" * 32
    if stage.number >= FIRST_STAGE_WITH_ROLES:
        server.settings |= FIRST_ADMIN
    if stage.number >= FIRST_STAGE_WITH_LIMITS:
        server.settings["RATE_LIMIT_AUTH"] = "100000/minute"  # all tests come from one address
    server.settings |= settings
    return server


_running: set[LaunchedServer] = set()

# A grade sets a file here: if pytest is killed, the grade stops the servers that the file lists.
PROCESSES = "COURSE_PROCESSES"


def _note_process(sign: str, pid: int) -> None:
    if file := os.environ.get(PROCESSES):
        with Path(file).open("a", encoding="ascii") as processes:
            processes.write(f"{sign}{pid}\n")


def end_noted_processes(file: Path) -> None:
    """Stop the servers of a process that was killed."""
    left: set[int] = set()
    lines = file.read_text(encoding="ascii").split("\n")[:-1] if file.exists() else []
    for line in lines:
        (left.add if line[0] == "+" else left.discard)(int(line[1:]))
    if sys.platform != "win32":
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


@atexit.register
def kill_running_servers() -> None:
    """Kill every server that still runs, if no teardown did."""
    for server in list(_running):
        server.end()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    else:
        return True
    finally:
        connection.close()
