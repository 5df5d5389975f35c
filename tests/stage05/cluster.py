"""A server with its own Redis, Celery workers and beat: processes that a test may stop and kill."""

from __future__ import annotations

from pathlib import Path

from course.harness.driver import Api
from course.harness.ledger import Ledger
from course.harness.queue import BEAT, WORKER, Process, Redis, celery_process
from course.harness.server import LaunchedServer


class Cluster:
    """The processes. None of them is started, and `server` must not be started either."""

    def __init__(self, server: LaunchedServer, directory: Path) -> None:
        self.server = server
        self.redis = Redis(directory / "redis")
        server.settings["REDIS_URL"] = self.redis.url
        self.workers = [
            celery_process(server, directory / f"{name}.log", *WORKER, "-n", f"{name}@%h")
            for name in ("worker1", "worker2")
        ]
        self.beat = celery_process(server, directory / "beat.log", *BEAT)

    @property
    def worker(self) -> Process:
        """Return the first of the two workers."""
        return self.workers[0]

    def start(self) -> tuple[Api, Ledger]:
        """Start Redis and the server; return a user's driver and the ledger of the jobs."""
        self.redis.start()
        self.server.start()
        return Api(self.server).as_new_user(), Ledger(self.server.database)

    def logs(self) -> str:
        """Return everything that the app's processes have printed."""
        processes = [*self.workers, self.beat]
        return self.server.log_text() + "".join(process.log_text() for process in processes)

    def end(self) -> None:
        """Kill the processes that run."""
        for process in (*self.workers, self.beat, self.redis.process):
            process.end()
        self.server.end()
