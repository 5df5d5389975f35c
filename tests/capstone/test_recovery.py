"""Row C.6: a process that is stuck ends itself, so that whoever supervises it starts a new one.

What gets stuck here is code of the tests, run in the app's process: the app should have no such.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.driver import Api
from tests.harness.plugin import Launch
from tests.harness.queue import BEAT, NO_REDIS, WORKER, Redis, celery_process, redis_is_available
from tests.harness.server import LaunchedServer
from tests.harness.waiting import eventually
from tests.stage05.jobs import submit, succeeded

STUCK_SERVER = """
import time
from app.main import app

@app.get("/stuck")
async def stuck():
    time.sleep(3600)
"""
STUCK_WORKER = """
import pathlib, time
from celery.signals import heartbeat_sent

@heartbeat_sent.connect(weak=False)
def hang(**_):
    if pathlib.Path("hang").exists():
        time.sleep(3600)
"""
LATEST = 60.0  # seconds, on a machine that is busy
STUCK_AFTER = 5  # seconds; a worker gives a sign of life every two


def test_a_server_whose_event_loop_stands_still_ends_and_says_where(
    launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "stuck_server.py").write_text(STUCK_SERVER, encoding="utf-8")
    server = launch(start=False, STUCK_AFTER="2", PYTHONPATH=str(tmp_path))
    server.command = tuple(
        word.replace("app.main:app", "stuck_server:app") for word in server.command
    )
    server.start()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.base_url}/stuck", timeout=LATEST, trust_env=False)
    assert eventually(lambda: server.exit_code is not None, within=LATEST)
    assert server.exit_code == 1
    assert "stuck_server.py" in server.log_text()


def test_a_server_that_works_is_left_alone(launch: Launch) -> None:
    server = launch(STUCK_AFTER="1")
    with Api(server) as visitor:
        api = visitor.as_new_user()
        assert stays(lambda: bool(api.create_todo()) and server.exit_code is None, during=3)
    server.stop()
    assert "Timeout" not in server.log_text()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of the test's own."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture
def server(launch: Launch, redis: Redis) -> LaunchedServer:
    """A server that leaves jobs to workers, who end themselves when they are stuck."""
    return launch(REDIS_URL=redis.url, STUCK_AFTER=str(STUCK_AFTER), HEARTBEAT_FILE="heartbeat")


def test_a_worker_that_is_stuck_ends(server: LaunchedServer, tmp_path: Path) -> None:
    (server.data_dir / "stuck_worker.py").write_text(STUCK_WORKER, encoding="utf-8")
    worker = celery_process(server, tmp_path / "worker.log", *WORKER, "-I", "stuck_worker")
    worker.start()
    try:
        eventually((server.data_dir / "heartbeat").exists, within=LATEST)
        (server.data_dir / "hang").touch()
        eventually(lambda: worker.exit_code is not None, within=LATEST)
        assert worker.exit_code == 1
    finally:
        worker.end()
    assert "Stuck for" in worker.log_text()


def test_a_worker_without_redis_is_not_stuck(
    server: LaunchedServer, redis: Redis, tmp_path: Path
) -> None:
    worker = celery_process(server, tmp_path / "worker.log", *WORKER)
    worker.start()
    try:
        eventually((server.data_dir / "heartbeat").exists, within=LATEST)
        redis.kill()
        assert stays(lambda: worker.exit_code is None, during=2 * STUCK_AFTER)
        redis.start()
        with Api(server) as visitor:
            api = visitor.as_new_user()
            succeeded(api, submit(api)["id"], within=LATEST)
        assert worker.exit_code is None
    finally:
        worker.end()


@pytest.mark.parametrize("arguments", [WORKER, BEAT], ids=["worker", "beat"])
def test_a_health_check_sees_whether_it_lives(
    server: LaunchedServer, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    heartbeat = server.data_dir / "heartbeat"
    assert not probe(server, str(heartbeat))
    process = celery_process(server, tmp_path / "process.log", *arguments)
    process.start()
    try:
        eventually(heartbeat.exists, within=LATEST)
        assert probe(server, str(heartbeat))
        first = heartbeat.stat().st_mtime
        eventually(lambda: heartbeat.stat().st_mtime > first, within=LATEST)
    finally:
        process.end()
    eventually(lambda: not probe(server, str(heartbeat)), within=LATEST)


def test_a_health_check_sees_whether_it_is_ready(launch: Launch) -> None:
    server = launch()
    ready = f"{server.base_url}/health/ready"
    assert probe(server, ready)
    assert not probe(server, f"{server.base_url}/nothing/there")
    server.stop()
    assert not probe(server, ready)


def probe(server: LaunchedServer, target: str) -> bool:
    """Return what the health check of the containers says of an address or a file."""
    app_dir = server.command[server.command.index("--app-dir") + 1]
    command = [server.command[0], "-m", "app.health.probe", target]
    return subprocess.run(command, cwd=app_dir, capture_output=True).returncode == 0


def stays(check: Callable[[], bool], *, during: float) -> bool:
    """Return whether `check` is true all the time, for so many seconds."""
    ends_at = time.monotonic() + during
    while time.monotonic() < ends_at:
        if not check():
            return False
        time.sleep(0.1)
    return True
