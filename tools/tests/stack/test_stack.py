"""The session `stack` as a person uses it: it starts, ends by Ctrl-C, starts again; and a drill."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import connect

from course.catalog.command import run
from course.catalog.stages import ROOT
from course.harness.postgres import NO_POSTGRES, postgres_is_available
from course.harness.queue import NO_REDIS, redis_is_available
from course.harness.signals import interruptible
from course.harness.waiting import eventually
from tools.drill.clients import Clients
from tools.drill.drills import terminate_an_api
from tools.drill.record import CHAT, JOB, JOB_DONE, KINDS, WRITE
from tools.drill.scene import Scene, supervised
from tools.stack import __main__ as stack_command
from tools.stack.__main__ import Wishes
from tools.stack.prometheus import configuration
from tools.stack.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LATEST = 120.0  # seconds, on a machine that is busy
STOPS_WITHIN = 30.0
CALM = 1.0  # before and after the drill
SECONDS = 3.0  # or as long as it takes
COLUMNS = "title, description, completed, created_at, updated_at, owner_id"
ROW = re.compile(r"^([a-z]+(?:-[0-9])?) +([0-9]+) +(\S.*?)  +\S+\.log$", re.MULTILINE)


class Run:
    """One run of the command, and what it prints."""

    def __init__(self, data: Path, output: Path, program: Sequence[str]) -> None:
        self._output = output
        command = [sys.executable, *program, "--data", str(data), "--port", "0"]
        with output.open("wb") as file, interruptible():
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
                text=True,
            )

    def printed(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")

    def is_ready(self) -> bool:
        """Wait for the start; return whether it serves."""
        return "Ctrl-C ends all of it" in self.printed() or self.process.poll() is not None

    def pids(self) -> dict[str, int]:
        return {name: int(pid) for name, pid, _ in ROW.findall(self.printed())}

    def addresses(self) -> list[str]:
        return [where for name, _, where in ROW.findall(self.printed()) if "api" in name]

    def type_line(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self) -> float:
        """Press Ctrl-C, and return how many seconds it took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LATEST)
        return time.monotonic() - began


@contextmanager
def running(
    data: Path, output: Path, program: Sequence[str] = ("-m", "tools.stack")
) -> Iterator[Run]:
    """Start it and wait until it serves; it also ends when the test fails."""
    run = Run(data, output, program)
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
    """Yield a client that is signed in, always as the same user."""
    person = {"username": "ada", "password": "correct horse"}
    with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
        if new:
            assert client.post("/auth/register", json=person).status_code == 201
        token = client.post("/auth/token", data=person).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def close_code_after(frame: bytes, address: str, client: httpx.Client) -> int | None:
    """Return the close code of the chat after this frame."""
    url = f"{address.replace('http', 'ws', 1)}/ws/chat"
    token = {"Authorization": client.headers["Authorization"]}
    with connect(url, additional_headers=token, proxy=None) as chat:
        chat.send(frame)
        with suppress(ConnectionClosed):
            while chat.recv(timeout=LATEST):
                pass
        return chat.close_code


@dataclass(frozen=True)
class FirstRun:
    """The observations of a stack that ran, lost a process, and ended by Ctrl-C."""

    data: Path
    printed: str
    exit_code: int
    ended_within: float  # seconds
    left: list[str]  # its parts that still run
    token: dict[str, str]  # the header of somebody who has stored a todo
    guesses: set[int]  # the statuses of twelve sign-ins, each with another X-Forwarded-For


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A directory that PostgreSQL can reach, also as `nobody` when root runs the tests."""
    if not (postgres_is_available() and redis_is_available()):
        pytest.skip(f"{NO_POSTGRES}; {NO_REDIS}")
    with tempfile.TemporaryDirectory(prefix="stack-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def first_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """The run of the whole command that these tests share."""
    with running(data, tmp_path_factory.mktemp("first") / "printed.txt") as stack:
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
            token = {"Authorization": ada.headers["Authorization"]}
        with httpx.Client(base_url=one, trust_env=False, timeout=30) as thief:
            guesses = {
                thief.post(
                    "/auth/token",
                    data={"username": "eve", "password": f"guess {number}"},
                    headers={"X-Forwarded-For": f"203.0.113.{number}"},
                ).status_code
                for number in range(12)
            }
        stack.type_line("api-3")
        stack.type_line("api-1")
        eventually(lambda: "api-1 is ready again, after" in stack.printed(), within=LATEST)
        again = httpx.get(f"{one}/todos", headers=token, trust_env=False, timeout=30)
        assert [todo["title"] for todo in again.json()] == ["stays"]
        took = stack.end()
        left = [name for name, pid in pids.items() if runs(pid)]
        return FirstRun(data, stack.printed(), stack.process.returncode, took, left, token, guesses)


@pytest.fixture(scope="module")
def next_start(first_run: FirstRun) -> Iterator[Stack]:
    """The same stack, started again on the same data; it ends in any case."""
    stack = Stack(first_run.data, first_port=0, with_prometheus=False, forked=True)
    try:
        stack.start()
        yield stack
    finally:
        stack.end_at_once()


async def sabotage(scene: Scene, clients: Clients) -> str:
    """Delete a todo and copy another one directly in the database."""
    await clients.try_once(0)
    await clients.try_once(1)
    lost, doubled = scene.gateway.record.acknowledged[WRITE][:2]
    scene.database.execute("DELETE FROM todos WHERE title = ?", lost)
    scene.database.execute(
        f"INSERT INTO todos ({COLUMNS}) SELECT {COLUMNS} FROM todos WHERE title = ?",  # noqa: S608
        doubled,
    )
    return f"{lost}, {doubled}"


class TestTheStack:
    """One run of the command, and the next start on the same data."""

    def test_ctrl_c_ends_all_of_it_in_order_and_in_time(self, first_run: FirstRun) -> None:
        assert (first_run.exit_code, first_run.left) == (0, []), first_run.printed
        assert first_run.ended_within < STOPS_WITHIN
        assert "Everything has ended, in order" in first_run.printed

    def test_a_killed_part_starts_again_and_lines_say_so(self, first_run: FirstRun) -> None:
        told = [line for line in first_run.printed.splitlines() if line.startswith("stack ")]
        texts = ["No running part is called 'api-3'", "api-1 is killed.", "with exit code -9. It"]
        assert [text for text in texts if text not in "\n".join(told)] == []
        log = (first_run.data / "logs" / "stack.log").read_text(encoding="utf-8")
        assert [line for line in told if line not in log.splitlines()] == []

    def test_a_client_cannot_choose_the_address_that_is_limited(self, first_run: FirstRun) -> None:
        assert first_run.guesses == {401, 429}

    def test_only_the_owner_reads_the_secrets_and_no_log_shows_them(
        self, first_run: FirstRun
    ) -> None:
        secrets = first_run.data / ".env"
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
        values = re.findall(r"=([0-9a-f]{64})$", secrets.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(values) == 4
        assert not [value for value in values if value in first_run.printed]

    def test_the_next_start_has_what_was_stored(
        self, first_run: FirstRun, next_start: Stack
    ) -> None:
        for part in next_start.parts.apis:
            # Its secrets are the same, too: the token is still good.
            answer = httpx.get(
                f"{part.address}/todos", headers=first_run.token, trust_env=False, timeout=30
            )
            assert [todo["title"] for todo in answer.json()] == ["stays"]

    def test_a_drill_loses_no_write_and_notices_a_lost_one(self, next_start: Stack) -> None:
        async def both() -> None:
            async with supervised(next_start) as scene:
                record, note, difference = await scene.run(
                    "calm", terminate_an_api, seconds=SECONDS, calm=CALM
                )
                assert not difference, difference
                assert all(record.good_at[kind] for kind in KINDS)
                assert all(record.acknowledged[kind] for kind in (WRITE, JOB, CHAT))
                assert record.failed_attempts, "nothing was broken"
                assert record.longest_outage(JOB_DONE) > 0
                assert "ready again" in note

                # The same checker with two broken promises.
                _, texts, difference = await scene.run("sabotage", sabotage, seconds=0, calm=0)
                lost, doubled = texts.split(", ")
                assert f"todo, stored: {lost}" in difference.lost
                assert f"todo, stored: {doubled}" in difference.doubled

        asyncio.run(both())


# The command on a stack of one program, which prints its signals and does not stop.
STUBBORN = """
import sys
from pathlib import Path
from course.harness.queue import Process
from course.catalog.command import run
from tools.stack import __main__ as stack_command
from tools.stack.part import Part
from tools.stack.parts import APPLICATION
from tools.stack.place import Place

class Stack(stack_command.Stack):
    def __init__(self, directory, *, first_port):
        place = self._place = Place(directory)
        deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        program = [sys.executable, "-c", deaf]
        process = Process(program, {}, place.directory, place.logs / "deaf.log")
        part = Part("deaf", APPLICATION, process, lambda: True)
        apis = [part, part]
        self.parts = type("Parts", (), {"all": [part], "apis": apis})
        self.secrets_file = place.secrets_file
        self.log_file = place.logs / "stack.log"
        self._ended = set()

stack_command.Stack = Stack
stack_command._SAME_WISH = 0.0
sys.exit(run(stack_command.main))
"""


def test_a_second_ctrl_c_ends_the_stack_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", tmp_path / "printed.txt", program=["-c", STUBBORN]) as stack:
        (pid,) = stack.pids().values()
        stack.process.send_signal(signal.SIGINT)
        eventually(lambda: "Press Ctrl-C again to stop at once." in stack.printed(), within=LATEST)
        assert stack.end() < 5  # in order it takes 24
    assert "Everything has ended, at once" in stack.printed()
    assert stack.process.returncode == 130
    assert not runs(pid)


@pytest.fixture
def wishes() -> Iterator[Wishes]:
    """Handles the stack's signals; the old handlers are restored afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the user may run the tests with `nohup`
    yield Wishes()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_each_signal_counts_as_a_wish_to_end(
    wishes: Wishes, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    assert not wishes.look()
    signal.raise_signal(number)
    assert eventually(wishes.look)
    signal.raise_signal(number)
    assert not wishes.hurry, "a closed terminal sends the signal more than once"
    monkeypatch.setattr(stack_command, "_SAME_WISH", 0.0)
    signal.raise_signal(number)
    assert eventually(lambda: wishes.hurry)


def test_with_nohup_the_stack_outlives_its_terminal(wishes: Wishes) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    alone = type(wishes)()
    signal.raise_signal(signal.SIGHUP)
    assert not alone.look()


def test_a_port_that_is_taken_is_named(
    wishes: Wishes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not wishes.look()  # the command listens to signals, too
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        options = ["--data", str(tmp_path / "data"), "--port", str(port)]
        assert run(stack_command.main, options, ROOT) == 2
    assert f"port {port} (for api-1) is not available" in capsys.readouterr().err


def test_prometheus_gets_the_rules_and_the_ports_of_this_machine() -> None:
    text = configuration({"api": [8000, 8001], "prometheus": [8005]})
    assert "127.0.0.1:8001" in text
    assert "postgres-exporter" not in text
    (rules,) = re.findall(r"^- (/.*rules/\*\.yml)$", text, re.MULTILINE)
    assert list(Path(rules).parent.glob("*.yml"))
