"""`nox -s stack` as a person uses it: a process of its own, a Ctrl-C, and a second start."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import connect

from tests.harness.postgres import NO_POSTGRES, postgres_is_available
from tests.harness.queue import NO_REDIS, redis_is_available
from tests.harness.signals import interruptible
from tests.harness.waiting import eventually
from tools.course import ROOT
from tools.stack.prometheus import configuration

LATEST = 120.0  # seconds, on a machine that is busy
STOPS_WITHIN = 30.0
ROW = re.compile(r"^([a-z]+(?:-[0-9])?) +([0-9]+) +(\S.*?)  +\S+\.log$", re.MULTILINE)

needs_servers = pytest.mark.skipif(
    not (postgres_is_available() and redis_is_available()), reason=f"{NO_POSTGRES}; {NO_REDIS}"
)


class Run:
    """One run of the command, and what it prints."""

    def __init__(self, data: Path, output: Path, port: int = 0) -> None:
        self._output = output
        command = [sys.executable, "-m", "tools.stack", "--data", str(data), "--port", str(port)]
        with output.open("wb") as file, interruptible():
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
            )

    def printed(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def is_ready(self) -> bool:
        """Return whether it serves, or never will."""
        return "Ctrl-C ends all of it" in self.printed() or self.process.poll() is not None

    def pids(self) -> dict[str, int]:
        return {name: int(pid) for name, pid, _ in ROW.findall(self.printed())}

    def addresses(self) -> list[str]:
        return [where for name, _, where in ROW.findall(self.printed()) if "api" in name]

    def end(self, number: int = signal.SIGINT) -> float:
        """Send a signal, and return how many seconds later it has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(LATEST)
        return time.monotonic() - began


@contextmanager
def running(data: Path, output: Path) -> Iterator[Run]:
    """Start it and wait until it serves; if the test fails, it is ended all the same."""
    run = Run(data, output)
    try:
        eventually(run.is_ready, within=LATEST)
        assert run.process.poll() is None, run.printed()
        yield run
    finally:
        if run.process.poll() is None:
            run.end()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def signed_in(address: str, *, new: bool) -> Iterator[httpx.Client]:
    """Yield a client that is signed in as the same user each time."""
    person = {"username": "ada", "password": "correct horse"}
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        if new:
            assert client.post("/auth/register", json=person).status_code == 201
        token = client.post("/auth/token", data=person).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def close_code_after(frame: bytes, address: str, client: httpx.Client) -> int | None:
    """Return how the server closes the chat when it is sent this."""
    url = f"{address.replace('http', 'ws', 1)}/ws/chat"
    token = {"Authorization": client.headers["Authorization"]}
    with connect(url, additional_headers=token, proxy=None) as chat:
        chat.send(frame)
        with suppress(ConnectionClosed):
            while chat.recv(timeout=LATEST):
                pass
        return chat.close_code


@pytest.fixture
def data() -> Iterator[Path]:
    """A directory that PostgreSQL can get to, also when root runs the tests and it is `nobody`."""
    with tempfile.TemporaryDirectory(prefix="stack-") as directory:
        yield Path(directory)


@needs_servers
def test_what_is_written_is_read_by_the_other_process_and_after_the_next_start(
    data: Path, tmp_path: Path
) -> None:
    with running(data, tmp_path / "first.txt") as stack:
        one, two = stack.addresses()
        pids = stack.pids()
        assert pids.keys() >= {"postgres", "redis", "api-1", "api-2", "worker", "beat"}
        with signed_in(one, new=True) as ada:
            ada.post("/todos", json={"title": "stays"}).raise_for_status()
        with signed_in(two, new=False) as ada:
            assert [todo["title"] for todo in ada.get("/todos").json()] == ["stays"]
            job = ada.post("/jobs", json={"text": "two words"}).json()
            done = f"/jobs/{job['id']}"
            eventually(lambda: ada.get(done).json()["status"] == "succeeded", within=LATEST)
            assert close_code_after(b" " * 131_073, two, ada) == CloseCode.MESSAGE_TOO_BIG
        with httpx.Client(base_url=one, trust_env=False, timeout=30) as thief:
            answers = {
                thief.post(
                    "/auth/token",
                    data={"username": "eve", "password": f"guess {number}"},
                    headers={"X-Forwarded-For": f"203.0.113.{number}"},
                ).status_code
                for number in range(12)
            }
        assert answers == {401, 429}
        secrets = data / ".env"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        assert stack.end() < STOPS_WITHIN
        assert stack.process.returncode == 0, stack.printed()
    assert not [name for name, pid in pids.items() if runs(pid)]
    values = re.findall(r"=([0-9a-f]{64})$", secrets.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(values) == 4
    assert not [value for value in values if value in stack.printed()]

    with running(data, tmp_path / "second.txt") as stack:
        os.kill(stack.pids()["api-1"], signal.SIGKILL)
        eventually(lambda: "api-1 has ended, with exit code -9" in stack.printed(), within=LATEST)
        with signed_in(stack.addresses()[1], new=False) as ada:
            assert [todo["title"] for todo in ada.get("/todos").json()] == ["stays"]
        pids = stack.pids()
        assert stack.end(signal.SIGHUP) < STOPS_WITHIN
    assert not [name for name, pid in pids.items() if runs(pid)]


@needs_servers
def test_who_is_in_a_hurry_has_it_end_at_once(data: Path, tmp_path: Path) -> None:
    with running(data, tmp_path / "printed.txt") as stack:
        pids = stack.pids()
        os.kill(pids["api-1"], signal.SIGSTOP)  # it will not end when it is asked to
        stack.process.send_signal(signal.SIGINT)
        eventually(lambda: "Once more: at once." in stack.printed(), within=LATEST)
        time.sleep(1.5)  # sooner it would be the same wish
        assert stack.end() < 5
    assert not [name for name, pid in pids.items() if runs(pid)]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = Run(tmp_path / "data", tmp_path / "printed.txt", port=port)
        assert run.process.wait(LATEST) == 2
    assert f"port {port} (for api-1) cannot be had" in run.printed()
    assert "Traceback" not in run.printed()


def test_prometheus_is_told_the_rules_and_who_serves_metrics_here() -> None:
    text = configuration({"api": [8000, 8001], "prometheus": [8005]})
    assert "127.0.0.1:8001" in text
    assert "postgres-exporter" not in text
    (rules,) = re.findall(r"^- (/.*rules/\*\.yml)$", text, re.MULTILINE)
    assert list(Path(rules).parent.glob("*.yml"))
