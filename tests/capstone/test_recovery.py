"""Row C.6: a process that is stuck ends itself, so that whoever supervises it starts a new one.

What gets stuck here is code of the tests, run in the app's process: the app should have no such.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import BEAT, NO_REDIS, WORKER, Redis, celery_process, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.jobs import Job, submit, succeeded

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # it brings its own Redis

STUCK_SERVER = """
import time
from app.main import app

@app.get("/stuck")
async def stuck():
    time.sleep(3600)
"""
# Celery waits 2, 4, 6, … 30 seconds between its attempts to connect: here one, or what looks for
# workers that are stuck would have to be as patient.
STUCK_WORKER = """
import pathlib, time
from celery.signals import heartbeat_sent
from kombu import Connection

errback, retries, _start, _step, _longest, *others = Connection._ensure_connection.__defaults__
Connection._ensure_connection.__defaults__ = (errback, retries, 1, 0, 1, *others)

@heartbeat_sent.connect(weak=False)
def hang(**_):
    if pathlib.Path("hang").exists():
        time.sleep(3600)
"""
LATEST = 60.0  # seconds, on a machine that is busy
STUCK_AFTER = 6  # seconds
EACH_SECOND = ("--heartbeat-interval", "1")  # a worker's sign of life
LATELY, LONG_AGO = 10, 16  # seconds since a sign of life: a health check draws the line between


@pytest.mark.requirement("C.6")
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


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of the module's own; every test leaves it running."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("recovery") / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture(scope="module")
def server(launch_for_module: Launch, redis: Redis) -> LaunchedServer:
    """A server that leaves jobs to workers; whichever of them is stuck ends itself."""
    return launch_for_module(
        REDIS_URL=redis.url, STUCK_AFTER=str(STUCK_AFTER), HEARTBEAT_FILE="heartbeat"
    )


@dataclass
class Life:
    """What was seen of a worker: well, then without Redis, then stuck, then dead."""

    healthy_before: bool
    healthy: bool
    beats: bool
    survived_without_redis: bool
    job: Job
    survived_all_of_it: bool
    exit_code: int | None
    log: str
    healthy_lately: bool
    healthy_long_ago: bool


@pytest.fixture(scope="module")
def life(server: LaunchedServer, redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Have a worker live through all of it."""
    heartbeat = server.data_dir / "heartbeat"
    heartbeat.unlink(missing_ok=True)
    (server.data_dir / "stuck_worker.py").write_text(STUCK_WORKER, encoding="utf-8")
    log_file = tmp_path_factory.mktemp("worker") / "worker.log"
    worker = celery_process(server, log_file, *WORKER, *EACH_SECOND, "-I", "stuck_worker")
    healthy_before = probe(server, str(heartbeat))
    worker.start()
    try:
        eventually(heartbeat.exists, within=LATEST)
        healthy, first = probe(server, str(heartbeat)), heartbeat.stat().st_mtime
        beats = eventually(lambda: heartbeat.stat().st_mtime > first, within=LATEST)
        redis.kill()
        survived = stays(lambda: worker.exit_code is None, during=STUCK_AFTER + 2)
        redis.start()
        with Api(server) as visitor:
            api = visitor.as_new_user()
            job = succeeded(api, submit(api)["id"], within=LATEST)
        survived_all_of_it = worker.exit_code is None
        (server.data_dir / "hang").touch()
        eventually(lambda: worker.exit_code is not None, within=LATEST)
    finally:
        worker.end()
    return Life(
        healthy_before=healthy_before,
        healthy=healthy,
        beats=beats,
        survived_without_redis=survived,
        job=job,
        survived_all_of_it=survived_all_of_it,
        exit_code=worker.exit_code,
        log=worker.log_text(),
        healthy_lately=probe_after(server, heartbeat, LATELY),
        healthy_long_ago=probe_after(server, heartbeat, LONG_AGO),
    )


@pytest.mark.requirement("C.6")
def test_a_worker_that_is_stuck_ends(life: Life) -> None:
    assert life.exit_code == 1
    assert "Stuck for" in life.log


@pytest.mark.requirement("C.6")
def test_a_worker_without_redis_is_not_stuck(life: Life) -> None:
    assert life.survived_without_redis
    assert life.job["status"] == "succeeded"
    assert life.survived_all_of_it


@pytest.mark.requirement("C.11")
def test_a_health_check_sees_whether_a_worker_lives(life: Life) -> None:
    assert (life.healthy_before, life.healthy, life.beats) == (False, True, True)
    assert (life.healthy_lately, life.healthy_long_ago) == (True, False)


@pytest.mark.requirement("C.6")
def test_a_server_that_works_is_left_alone(life: Life, server: LaunchedServer) -> None:
    assert life.job["status"] == "succeeded"  # that took longer than the server may be stuck
    with Api(server) as visitor:
        assert visitor.as_new_user().create_todo()["id"]
    assert server.exit_code is None
    assert "Timeout" not in server.log_text()


@pytest.mark.requirement("C.11")
def test_a_health_check_sees_whether_beat_lives(server: LaunchedServer, tmp_path: Path) -> None:
    heartbeat = server.data_dir / "heartbeat"
    heartbeat.unlink(missing_ok=True)
    beat = celery_process(server, tmp_path / "beat.log", *BEAT)
    beat.start()
    try:
        eventually(heartbeat.exists, within=LATEST)
        assert probe(server, str(heartbeat))
        first = heartbeat.stat().st_mtime
        eventually(lambda: heartbeat.stat().st_mtime > first, within=LATEST)
    finally:
        beat.end()
    assert not probe_after(server, heartbeat, LONG_AGO)


@pytest.mark.requirement("C.11")
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


def probe_after(server: LaunchedServer, heartbeat: Path, seconds: float) -> bool:
    """Return what it says of a file when that is the time since the last sign of life."""
    then = time.time() - seconds
    os.utime(heartbeat, (then, then))
    return probe(server, str(heartbeat))


def stays(check: Callable[[], bool], *, during: float) -> bool:
    """Return whether `check` is true all the time, for so many seconds."""
    ends_at = time.monotonic() + during
    while time.monotonic() < ends_at:
        if not check():
            return False
        time.sleep(0.1)
    return True
