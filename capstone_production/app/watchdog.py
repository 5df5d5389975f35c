"""A process that is stuck ends itself, so that its supervisor starts a new one.

Docker starts a container again that has ended, and does nothing about one that hangs; nothing else
can help a process whose event loop stands still, or a Celery whose connection is lost for good.
`STUCK_AFTER` seconds without a sign of life are the end: the stacks of all threads go to the log.
Others do its work again, as after any crash. A database or a Redis that is down does not end a
process: a new one would not have them either.
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

LOOKS = 10  # in the time after which a process is stuck
STDERR = 2  # the file: Celery puts something else in the place of `sys.stderr`

logger = logging.getLogger(__name__)


@asynccontextmanager
async def watched_event_loop(stuck_after: float) -> AsyncIterator[None]:
    """End the process when the event loop does nothing for so many seconds; 0: never."""
    if not stuck_after:
        yield
        return

    async def put_off() -> None:
        while True:
            # The thread behind this is not Python's: it ends us whatever holds the interpreter.
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

    Each sign of life also touches `HEARTBEAT_FILE`, for a health check from outside.
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
        # Not before: a worker's processes send messages, too, and that says nothing of the worker.
        signals.beat_init.connect(self.connect_beat, weak=False)

    def connect_beat(self, **_: Any) -> None:
        """Listen to what beat sends: something every second."""
        signals.after_task_publish.connect(self.note_life, weak=False)

    def note_life(self, **_: Any) -> None:
        """Put the end off; the first time, begin to watch."""
        self._alive_at = time.monotonic()
        if self._file:
            with suppress(OSError):
                self._file.touch()
        if self._stuck_after and self._thread is None:
            self._thread = threading.Thread(target=self.watch, daemon=True)
            self._thread.start()

    def watch(self) -> None:
        """Look again and again; does not return."""
        interval = self._stuck_after / LOOKS
        while True:
            time.sleep(interval)
            silent_for = time.monotonic() - self._alive_at
            if silent_for > 2 * interval and not self._redis_answers():
                self._alive_at = time.monotonic()
            elif silent_for > self._stuck_after:
                logger.error("Stuck for %.0f s: this process ends", silent_for)
                faulthandler.dump_traceback(STDERR)
                os._exit(1)

    def _redis_answers(self) -> bool:
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False
