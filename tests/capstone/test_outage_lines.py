"""Requirement C.9: an outage of Redis is one line in the log of beat, and few in a worker's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import BEAT, NO_REDIS, WORKER, Redis, celery_process, redis_is_available
from course.harness.waiting import eventually
from tests.stage05.jobs import submit, succeeded

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own Redis

LATEST = 60.0  # seconds; enough on a busy machine
MISSED_BEATS = 4  # sends of beat that fail, one each second


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """Return a running Redis for one test."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path / "redis")
    redis.start()
    yield redis
    redis.process.end()


def warnings_in(log: str) -> list[dict[str, Any]]:
    """Return the lines that an operator reads; each must be one JSON object."""
    lines = [json.loads(line) for line in log.splitlines()]
    return [line for line in lines if line["level"] in ("warning", "error", "critical")]


@pytest.mark.requirement("C.9")
def test_an_outage_of_redis_is_one_line_of_beat(
    launch: Launch, redis: Redis, tmp_path: Path
) -> None:
    server = launch(REDIS_URL=redis.url, LOG_FORMAT="json")
    beat, worker = (
        celery_process(server, tmp_path / f"{arguments[0]}.log", *arguments)
        for arguments in (BEAT, WORKER)
    )
    with ExitStack() as stack, Api(server) as visitor:
        for process in (beat, worker):
            stack.callback(process.end)
            process.start()
        api = visitor.as_new_user()
        succeeded(api, submit(api)["id"], within=LATEST)
        marks = [len(process.log_text()) for process in (beat, worker)]
        redis.kill()

        def missed_beats() -> int:
            return beat.log_text()[marks[0] :].count("Sending due task")

        assert eventually(lambda: missed_beats() >= MISSED_BEATS, within=LATEST)
        redis.start()
        succeeded(api, submit(api)["id"], within=LATEST)
        of_beat, of_worker = (
            warnings_in(process.log_text()[mark:])
            for process, mark in zip((beat, worker), marks, strict=True)
        )
    assert len(of_beat) == 1, of_beat
    assert "Connection refused" in of_beat[0]["message"]
    assert "exception" not in of_beat[0]
    texts = [line["message"] for line in of_worker]
    assert 1 <= len(texts) <= 5, texts
    assert len(texts) == len(set(texts))
    assert redis.password not in "".join(texts)
