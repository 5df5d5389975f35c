"""A process that is stuck ends itself, so that its supervisor starts a new one.

Docker restarts a container that has ended, but not one that hangs. A restart is the only help for a
process with a blocked event loop, or for a Celery whose connection never returns. After
`STUCK_AFTER` seconds without a sign of life, the process writes the stacks of all threads to the
log, and ends. Other processes repeat its work, as after any crash. A database or Redis that is down
does not end a process, because a new one would not have it either.
"""

import asyncio
import faulthandler
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis
from celery import signals

from app.config import Settings

LOOKS = 10  # checks in `STUCK_AFTER` seconds
STDERR = 2  # the file descriptor, since Celery replaces `sys.stderr`

logger = logging.getLogger(__name__)


@asynccontextmanager
async def watched_event_loop(stuck_after: float) -> AsyncIterator[None]:
    """End the process when the event loop is blocked for `stuck_after` seconds; 0: never."""
    if not stuck_after:
        yield
        return

    async def put_off() -> None:
        while True:
            # Its thread needs no interpreter lock, so it ends the process in any case.
            faulthandler.dump_traceback_later(stuck_after, exit=True)
            await asyncio.sleep(stuck_after / LOOKS)

    task = asyncio.create_task(put_off())
    try:
        yield
    finally:
        task.cancel()
        faulthandler.cancel_dump_traceback_later()


class CeleryWatchdog:
    """Ends a worker, or beat, that is silent for `STUCK_AFTER` seconds although Redis answers.

    Each sign of life also touches `HEARTBEAT_FILE`, for the health check of the container.
    """

    def __init__(self, settings: Settings) -> None:
        self._stuck_after = settings.stuck_after
        self._file = settings.heartbeat_file
        self._redis = redis.Redis.from_url(
            settings.redis_url, socket_timeout=1, socket_connect_timeout=1
        )
        self._thread: threading.Thread | None = None
        self._alive_at = 0.0

    def connect(self) -> None:
        """Listen to Celery's signals: a worker's heartbeat, and the messages that beat sends."""
        signals.heartbeat_sent.connect(self.note_life, weak=False)
        # Only in beat: in a worker, messages of child processes do not show that it works.
        signals.beat_init.connect(self.connect_beat, weak=False)

    def connect_beat(self, **_: Any) -> None:
        """Listen to the messages of beat, which sends at least one every second."""
        signals.after_task_publish.connect(self.note_life, weak=False)

    def note_life(self, **_: Any) -> None:
        """Note a sign of life; the first one starts the watching thread."""
        self._alive_at = time.monotonic()
        if self._file:
            with suppress(OSError):
                self._file.touch()
        if self._stuck_after and self._thread is None:
            self._thread = threading.Thread(target=self.watch, daemon=True)
            self._thread.start()

    def watch(self) -> None:
        """Check the signs of life forever; does not return."""
        interval = self._stuck_after / LOOKS
        while True:
            time.sleep(interval)
            silent_for = time.monotonic() - self._alive_at
            if silent_for > 2 * interval and not self._redis_answers():
                self._alive_at = time.monotonic()
            elif silent_for > self._stuck_after:
                logger.error("No sign of life for %.0f s: this process ends itself", silent_for)
                faulthandler.dump_traceback(STDERR)
                os._exit(1)

    def _redis_answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False
