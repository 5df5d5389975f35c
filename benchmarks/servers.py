"""The measured programs: each is a process on its own core, with its log in a file."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from course.harness.ports import free_port

START_DEADLINE = 120.0  # seconds
STOP_DEADLINE = 25.0

CAN_PIN = hasattr(os, "sched_setaffinity")
CORES = sorted(os.sched_getaffinity(0)) if CAN_PIN else [0]
SERVER_CORE = CORES[:1]  # the servers take turns on it
OTHER_CORES = CORES[1:] or CORES  # the load, PostgreSQL and Valkey


@contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Run processes that start in this block on these cores only, if the system allows it."""
    if not CAN_PIN:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Server:
    """A running program."""

    port: int
    process_id: int

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return its processor time so far; 0 if the system does not report it."""
        stat = Path(f"/proc/{self.process_id}/stat")
        if not stat.exists():
            return 0.0
        # proc(5): the text after the name in parentheses begins with the third field.
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, name: str
) -> Iterator[Server]:
    """Start a program (`{port}` in its command stands for a port), and stop it afterwards.

    Raises `RuntimeError` with its output if it does not answer.
    """
    port = free_port()
    log_file = directory / f"{name}.log"
    with log_file.open("wb") as log, on_cores(SERVER_CORE):
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=directory,
            env={"PATH": os.defpath, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_DEADLINE
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{log_file.read_text()[-3000:]}")
            time.sleep(0.05)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
