"""Requirement C.6: a stuck process ends itself, so that its supervisor starts a new one.

The blocking code belongs to the tests and runs in the app's process.
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

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own Redis

STUCK_SERVER = """
import time
from app.main import app

@app.get("/stuck")
async def stuck():
    time.sleep(3600)
"""
# Celery waits 2, 4, 6, … 30 seconds between its attempts to connect. Here it waits one second, or
# the watchdog for stuck workers would have to wait as long.
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
LATEST = 60.0  # seconds; enough on a busy machine
STUCK_AFTER = 6  # seconds
EACH_SECOND = ("--heartbeat-interval", "1")  # how often a worker writes its heartbeat
LATELY, LONG_AGO = 10, 16  # seconds since a heartbeat; the health check's limit is between them


@pytest.mark.requirement("C.6")
def test_a_server_with_a_blocked_event_loop_ends_and_logs_the_place(
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
    """Return a Redis that only this module uses; every test leaves it running."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("recovery") / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture(scope="module")
def server(launch_for_module: Launch, redis: Redis) -> LaunchedServer:
    """Return a server that leaves jobs to workers; a stuck process ends itself."""
    return launch_for_module(
        REDIS_URL=redis.url, STUCK_AFTER=str(STUCK_AFTER), HEARTBEAT_FILE="heartbeat"
    )


@dataclass
class Life:
    """The observations of one worker: healthy, without Redis, stuck, then dead."""

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
    """Run a worker through all these states."""
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
def test_a_stuck_worker_ends(life: Life) -> None:
    assert life.exit_code == 1
    assert "No sign of life for" in life.log


@pytest.mark.requirement("C.6")
def test_a_worker_without_redis_is_not_stuck(life: Life) -> None:
    assert life.survived_without_redis
    assert life.job["status"] == "succeeded"
    assert life.survived_all_of_it


@pytest.mark.requirement("C.11")
def test_the_health_check_detects_a_dead_worker(life: Life) -> None:
    assert (life.healthy_before, life.healthy, life.beats) == (False, True, True)
    assert (life.healthy_lately, life.healthy_long_ago) == (True, False)


@pytest.mark.requirement("C.6")
def test_a_working_server_is_not_ended(life: Life, server: LaunchedServer) -> None:
    assert life.job["status"] == "succeeded"  # took longer than the limit for a stuck server
    with Api(server) as visitor:
        assert visitor.as_new_user().create_todo()["id"]
    assert server.exit_code is None
    assert "Timeout" not in server.log_text()


@pytest.mark.requirement("C.11")
def test_the_health_check_detects_a_dead_beat(server: LaunchedServer, tmp_path: Path) -> None:
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
def test_the_health_check_detects_whether_a_server_is_ready(launch: Launch) -> None:
    server = launch()
    ready = f"{server.base_url}/health/ready"
    assert probe(server, ready)
    assert not probe(server, f"{server.base_url}/nothing/there")
    server.stop()
    assert not probe(server, ready)


def probe(server: LaunchedServer, target: str) -> bool:
    """Return the result of the containers' health check for a URL or a file."""
    app_dir = server.command[server.command.index("--app-dir") + 1]
    command = [server.command[0], "-m", "app.health.probe", target]
    return subprocess.run(command, cwd=app_dir, capture_output=True).returncode == 0


def probe_after(server: LaunchedServer, heartbeat: Path, seconds: float) -> bool:
    """Return the result for a heartbeat file of this age."""
    then = time.time() - seconds
    os.utime(heartbeat, (then, then))
    return probe(server, str(heartbeat))


def stays(check: Callable[[], bool], *, during: float) -> bool:
    """Return whether `check` is true for the whole time, in seconds."""
    ends_at = time.monotonic() + during
    while time.monotonic() < ends_at:
        if not check():
            return False
        time.sleep(0.1)
    return True
