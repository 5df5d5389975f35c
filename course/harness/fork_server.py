"""Starts programs quickly: a process that has imported their packages forks one for each request.

    python -P fork_server.py DIRECTORY FD

DIRECTORY holds the app, whose imports it looks up. FD is a Unix socket that listens. Each line that
a client sends there is a JSON object: `arguments` (what would follow `python -m`), `cwd`,
`environment` and `log` (a file that gets the output). The first line of the answer is
`{"pid": …}`. When that process has ended, a line `{"pid": …, "status": …}` follows, with the status
as `os.waitpid` gives it. When the last client closes its connection, this process ends, and the
processes that it started continue.

The Python of a stage runs this file, so only the standard library and the stage's packages are
available. It imports no module of the app: each program imports the app itself.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

# Modules that uvicorn imports later by name.
SERVER_MODULES = (
    "uvicorn.main",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
# Modules that packages import later: at the first use of a database, password, task or other
# server.
LATE_MODULES = (
    "aiosqlite",
    "anyio._backends._asyncio",
    "celery.loaders.default",
    "httpcore",
    "passlib.handlers.bcrypt",
    "pydantic.v1",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)
# These depend on the environment, or start threads, when they are imported.
NOT_BEFORE_THE_FORK = ("app", "prometheus_client", "prometheus_fastapi_instrumentator", "pyvips")


def import_packages(directory: Path) -> None:
    """Import the packages that the app in this directory imports, if they are installed."""
    names = {*SERVER_MODULES, *LATE_MODULES}
    for path in directory.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    for name in sorted(names):
        if name.partition(".")[0] not in NOT_BEFORE_THE_FORK:
            with contextlib.suppress(Exception):  # a function and not a module, or missing
                importlib.import_module(name)


def answer(client: socket.socket, **content: Any) -> None:
    """Send one line of the answer."""
    with contextlib.suppress(OSError):  # the client may be gone
        client.sendall(json.dumps(content).encode() + b"\n")


def become(arguments: list[str], cwd: str, environment: dict[str, str], log: str) -> None:
    """Turn this process, a fresh fork, into `python -m ARGUMENTS`."""
    os.setsid()
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX") if output > 1000 else 1024)
    os.environ.clear()
    os.environ.update(environment)
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [cwd, *filter(None, added)]
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def serve(listening: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return the request in the new process, or None at the end."""
    wake_up, wake_up_end = os.pipe()
    os.set_blocking(wake_up_end, False)
    signal.set_wakeup_fd(wake_up_end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests to handle
    unread: dict[socket.socket, bytes] = {
        listening.accept()[0]: b""
    }  # the first client connects before this program runs
    asked_by: dict[int, socket.socket] = {}
    while unread:
        sources: list[Any] = [wake_up, listening, *unread]
        ready, _, _ = select.select(sources, [], [])
        if wake_up in ready:
            os.read(wake_up, 1024)
            report_ended(asked_by)
        if listening in ready:
            unread[listening.accept()[0]] = b""
        for client in [client for client in unread if client in ready]:
            data = receive(client)
            if not data:
                del unread[client]
                client.close()
                continue
            *lines, unread[client] = (unread[client] + data).split(b"\n")
            for line in lines:
                request: dict[str, Any] = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    return request
                asked_by[pid] = client
                answer(client, pid=pid)
    return None


def receive(client: socket.socket) -> bytes:
    """Return what a client has sent; nothing when it closed the connection."""
    try:
        return client.recv(65_536)
    except OSError:
        return b""


def report_ended(asked_by: dict[int, socket.socket]) -> None:
    """Tell each client which of its processes have ended since the last time."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            answer(asked_by.pop(pid), pid=pid, status=status)


if __name__ == "__main__":
    import_packages(Path(sys.argv[1]))
    gc.freeze()  # forks share these objects, so the garbage collector must not change them
    request = serve(socket.socket(fileno=int(sys.argv[2])))
    if request is not None:
        become(**request)
