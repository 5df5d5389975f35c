"""Two API processes with one PostgreSQL and one Redis that a test may stop, and their clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course.catalog.stages import Stage
from course.harness.database import PostgresDatabase
from course.harness.driver import Api
from course.harness.postgres import create_database, drop_database
from course.harness.queue import Redis
from course.harness.server import LaunchedServer, ReplicatedServer, stage_server


class Replicas:
    """The two processes: number 0 and number 1."""

    def __init__(self, server: ReplicatedServer, redis: Redis) -> None:
        self.server = server
        self.redis = redis
        self.database = PostgresDatabase(server.settings["DATABASE_URL"])
        self.processes: list[LaunchedServer] = [server, *server.replicas]

    @contextmanager
    def clients_of_one_user(self) -> Iterator[tuple[Api, Api]]:
        """Yield a driver for each process, both signed in as the same new user."""
        with Api(self.server, turn=0) as visitor:
            token = visitor.as_new_user().token
            yield self.client(0, visitor, token), self.client(1, visitor, token)

    def client(self, number: int, visitor: Api, token: str | None) -> Api:
        """Return a driver of one process that uses the connections of `visitor`."""
        return Api(self.server, client=visitor.client, token=token, turn=number)


@contextmanager
def started(
    stage: Stage, directory: Path, postgres_url: str, **settings: str
) -> Iterator[Replicas]:
    """Yield two running processes with their own database and Redis."""
    redis, database_url = Redis(directory / "redis"), create_database(postgres_url)
    redis.start()
    everything = {"DATABASE_URL": database_url, "REDIS_URL": redis.url} | settings
    server = stage_server(stage, directory, processes=2, forked=True, **everything)
    assert isinstance(server, ReplicatedServer)
    try:
        server.start()
        yield Replicas(server, redis)
    finally:
        for process in (*server.replicas, server):
            process.end()
        redis.process.end()
        drop_database(database_url)
