"""Starts processes of a stage quickly, as forks of one that has imported the stage's packages.

Importing FastAPI, SQLAlchemy and Celery takes most of the time of a server's start. The first start
from an environment pays for it, all others begin after the imports (`fork_server.py`). Each is
still a separate process, with its own session, environment, log and signals. The workers of
`pytest-xdist` share one fork server (`share`). Linux only: elsewhere, and for programs that are not
Python modules, processes are started in the usual way.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from filelock import FileLock

CAN_FORK = sys.platform == "linux"
_SCRIPT = Path(__file__).with_name("fork_server.py")
_END_DEADLINE = 5.0
_PATIENCE = 60.0  # seconds for a first start on a busy machine


class Child(Protocol):
    """The part of `subprocess.Popen` that the harness uses."""

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise `subprocess.TimeoutExpired` after `timeout` seconds."""

    def send_signal(self, sig: int, /) -> None:
        """Send it a signal, unless it has ended."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL."""


class ForkServer:
    """A connection to the one `fork_server.py` for the Python and the app of a stage.

    The first process that needs it starts it, under a lock in `directory`.
    """

    def __init__(self, python: str, app: Path, directory: Path) -> None:
        self._socket = _connect(python, app, directory)
        self._asking = threading.Lock()
        self._changed = threading.Condition()
        self._started: list[int] = []
        self._statuses: dict[int, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def start(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path
    ) -> Child:
        """Start `python -m ARGUMENTS`; `RuntimeError` when this server is gone."""
        request = {
            "arguments": list(arguments),
            "cwd": str(cwd),
            "environment": dict(environment),
            "log": str(log),
        }
        with self._asking, self._changed:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            if not self._changed.wait_for(lambda: self._started, _PATIENCE):
                raise RuntimeError("the fork server does not answer")
            return _Fork(self, self._started.pop())

    def status(self, pid: int, timeout: float | None) -> int | None:
        """Wait for a fork and return its exit code, or None after the time limit."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._statuses, timeout)
            return self._statuses.get(pid)

    def close(self) -> None:
        """Close the connection. The fork server ends with its last one; its processes continue."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        for line in self._socket.makefile():
            said = json.loads(line)
            with self._changed:
                if "status" in said:
                    self._statuses[said["pid"]] = os.waitstatus_to_exitcode(said["status"])
                else:
                    # The system may reuse the number for a new process.
                    self._statuses.pop(said["pid"], None)
                    self._started.append(said["pid"])
                self._changed.notify_all()


def _connect(python: str, app: Path, directory: Path) -> socket.socket:
    """Return a connection to the fork server in `directory`; start it when there is none."""
    name = hashlib.sha256(f"{python}\0{app}".encode()).hexdigest()[:16]
    address = directory / f"{name}.socket"
    client = socket.socket(socket.AF_UNIX)
    with FileLock(directory / f"{name}.lock"):
        try:
            client.connect(str(address))
        except OSError:
            address.unlink(missing_ok=True)
        else:
            return client
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(address))
            listening.listen()
            # Connect before the server starts: it ends with its last client, so there must be one.
            client.connect(str(address))
            process = subprocess.Popen(
                [python, "-P", str(_SCRIPT), str(app), str(listening.fileno())],
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
            _fork_servers.append(process)
    return client


class _Fork:
    """A process that a fork server has started."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        if self._exit_code is None:
            self._exit_code = self._server.status(self.pid, 0)
        return self._exit_code

    def wait(self, timeout: float | None = None) -> int:
        if self._exit_code is None:
            self._exit_code = self._server.status(self.pid, timeout)
        if self._exit_code is None:
            raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
        return self._exit_code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_servers: dict[tuple[str, Path], ForkServer] = {}
_fork_servers: list[subprocess.Popen[bytes]] = []  # those that this process started
_making = threading.Lock()
_directory: list[Path] = []


def share(directory: Path) -> None:
    """Use the fork servers of that directory, which all processes that name it share."""
    _directory[:] = [directory]


def shared_directory() -> Path:
    """Return the directory of the fork servers' sockets; create it, and remove it at the end."""
    if not _directory:
        share(Path(tempfile.mkdtemp(prefix="forks-")))  # only its owner may enter it
        atexit.register(shutil.rmtree, _directory[0], ignore_errors=True)
    return _directory[0]


@atexit.register
def _leave() -> None:
    for server in _servers.values():
        server.close()
    for process in _fork_servers:  # the other workers leave, too
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_DEADLINE)


def start_process(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    *,
    app: Path | None = None,
    user: str | None = None,
) -> Child:
    """Start a command with exactly this environment; its output is appended to `log`.

    With an `app`, a command `PYTHON -m MODULE …` of the app in that directory may be a fork.
    The process has its own group, so a Ctrl-C does not reach it, and the whole group can be ended.
    """
    python, *arguments = command
    if app is not None and CAN_FORK and arguments[:1] == ["-m"]:
        with _making:
            server = _servers.get((python, app)) or ForkServer(python, app, shared_directory())
            _servers[python, app] = server
        return server.start(arguments[1:], cwd, environment, log)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
        )
