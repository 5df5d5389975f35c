"""A solution that attacks the machine, the grader and the tests, with the standard library.

    python hostile.py PORT [ATTACKS.json]

`POST /attack/NAME` runs an attack with the JSON of its body and answers with its result. Every
other path gets a plausible answer. Each attack stops by itself at a harmless limit, in case the
sandbox fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MIB = 1024 * 1024


def read(paths: list[str]) -> list[str]:
    """Return the files and directories that it can read."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            place = Path(path)
            if any(place.iterdir()) if place.is_dir() else place.read_bytes():
                found.append(path)
    return found


def write(paths: list[str]) -> list[str]:
    """Return the files that it can change."""
    changed = []
    for path in paths:
        with contextlib.suppress(OSError):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text('{"score": 1000}')
            changed.append(path)
    return changed


def change(paths: list[str]) -> list[str]:
    """Return the files that it could change, without changing them."""
    opened = []
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
            opened.append(path)
    return opened


def connect(addresses: list[list[Any]]) -> list[Any]:
    """Return the addresses that answer; a name alone is an abstract UNIX socket."""
    reached = []
    for host, port in addresses:
        family = socket.AF_INET if port else socket.AF_UNIX
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            client.connect((host, port) if port else f"\0{host}")
            reached.append([host, port])
    return reached


def interfaces(_: object) -> list[str]:
    """Return the network interfaces."""
    return [name for _, name in socket.if_nameindex()]


def processes(_: object) -> list[int]:
    """Return the processes that it sees."""
    return sorted(int(one.name) for one in Path("/proc").glob("[0-9]*"))


def environment(_: object) -> list[str]:
    """Return the names in its environment."""
    return sorted(os.environ)


def fork(most: int) -> int:
    """Start processes until the machine refuses; return how many it got."""
    children: list[int] = []
    try:
        while len(children) < most:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children)


def memory(mebibytes: int) -> int:
    """Allocate memory in a separate process, 64 MiB at a time; return how much it got."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        pieces = []
        for number in range(mebibytes // 64):
            try:
                piece = mmap.mmap(-1, 64 * MIB)  # shared: no limit of a process counts it
                for page in range(0, len(piece), mmap.PAGESIZE):
                    piece[page] = 1
            except (OSError, MemoryError):
                break
            pieces.append(piece)
            os.write(theirs, bytes([number % 256]))
        os._exit(0)
    os.close(theirs)
    got = 0
    while taken := os.read(ours, 4096):
        got += 64 * len(taken)
    os.close(ours)
    os.waitpid(child, 0)
    return got


def fill(request: dict[str, Any]) -> int:
    """Write files into a directory; return how many MiB fitted."""
    written = 0
    for number in range(request["files"]):
        try:
            with Path(request["directory"], f"fill-{number}").open("wb") as file:
                for _ in range(request["mebibytes"]):
                    file.write(b"x" * MIB)
                    file.flush()
                    written += 1
        except OSError:
            break
    return written


def open_files(most: int) -> int:
    """Open files until the machine refuses; return how many it got."""
    files: list[int] = []
    with contextlib.suppress(OSError):
        while len(files) < most:
            files.append(os.open(os.devnull, os.O_RDONLY))
    for file in files:
        os.close(file)
    return len(files)


def user_namespace(_: object) -> bool:
    """Become root of a new namespace, where it could mount anything."""
    child = os.fork()
    if child == 0:
        os._exit(ctypes.CDLL(None).unshare(0x10000000) != 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


ATTACKS: dict[str, Any] = {
    function.__name__: function
    for function in (
        *(read, write, change, connect, interfaces, processes, environment, fork, memory, fill),
        *(open_files, user_namespace),
    )
}


class Handler(BaseHTTPRequestHandler):
    """Attacks on request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a plausible constant."""
        self._answer([])

    def do_POST(self) -> None:
        """Attack."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        attack = ATTACKS.get(self.path.removeprefix("/attack/"))
        self._answer(attack(json.loads(body or b"null")) if attack else {"id": 1, "title": "mine"})

    def _answer(self, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    if len(sys.argv) > 2:  # attack at once, and write down the result
        attacks = json.loads(Path(sys.argv[2]).read_text())
        came_of_it = {name: ATTACKS[name](argument) for name, argument in attacks.items()}
        Path("attacked.json").write_text(json.dumps(came_of_it))
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
