"""The parts of the stack: the programs of `compose.yaml`, with the same settings where possible.

Missing are the gateway (there are two addresses instead), Grafana and the two exporters.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
import psycopg

from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from course.harness.postgres import Postgres, postgres_is_available
from course.harness.queue import Process, Redis, redis_is_available
from tools.stack.part import Part
from tools.stack.place import Place
from tools.stack.prometheus import prometheus_part

CAPSTONE = ROOT / "capstone_production"
SERVERS, MIGRATION, APPLICATION, MONITORING = range(4)  # the waves, in order
_WORKER = ("worker", "--concurrency=2", "--loglevel=WARNING")
_BEAT = ("beat", "--loglevel=WARNING")
_STUCK_AFTER = "30"  # seconds, as in compose.yaml


@dataclass(frozen=True)
class Ports:
    """The port of each part, on 127.0.0.1."""

    api_1: int
    api_2: int
    postgres: int
    redis: int
    worker_metrics: int
    prometheus: int

    @classmethod
    def from_first(cls, first: int) -> Ports:
        """Return the six ports from `first` on."""
        return cls(*range(first, first + len(fields(cls))))


class KeptRedis(Redis):
    """A Redis with the settings of `deploy/redis`: it saves its data to disk.

    Its password is in a file, since every user of this machine can read the arguments of a program.
    """

    def __init__(self, directory: Path, port: int, password: str, log_file: Path) -> None:
        super().__init__(directory)
        self.port, self.password = port, password
        configuration = directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'include "{CAPSTONE / "deploy" / "redis" / "redis.conf"}"\n'
            f'bind 127.0.0.1\nport {port}\ndir "{directory}"\nrequirepass {password}\n',
            encoding="utf-8",
        )
        command = [self.process.command[0], str(configuration)]
        self.process = Process(command, {}, directory, log_file)


class Parts:
    """All parts, before their start; the drills need some of them by name."""

    def __init__(
        self, place: Place, ports: Ports, *, with_prometheus: bool, forked: bool = False
    ) -> None:
        if not (postgres_is_available() and redis_is_available()):
            raise CourseError("PyPI has no PostgreSQL or no Redis for this machine: use Docker")
        self._place = place
        self._forked_for = CAPSTONE if forked else None
        self._python = stage_python(find_stage(load_course(), "capstone"))
        log = place.logs
        try:
            postgres = Postgres(
                place.directory / "postgres",
                port=ports.postgres,
                password=place.secret("POSTGRES_PASSWORD"),
            )
        except AssertionError as error:
            raise CourseError(f"PostgreSQL could not create its files: {error}") from error
        postgres.process.log_file = log / "postgres.log"
        self.redis = KeptRedis(
            place.path("redis"), ports.redis, place.secret("REDIS_PASSWORD"), log / "redis.log"
        )
        self.database_url = postgres.url
        self.apis = [self._api("api-1", ports.api_1), self._api("api-2", ports.api_2)]
        prometheus = shutil.which("prometheus") if with_prometheus else None
        self.worker = self._celery("worker", *_WORKER)
        self.postgres = Part(
            "postgres", SERVERS, postgres.process, self._postgres_answers,
            f"127.0.0.1:{ports.postgres}",
            signal.SIGINT,  # do not wait for clients to disconnect
        )  # fmt: skip
        self.migrate = Part(
            "migrate", MIGRATION, self._ours("migrate", "alembic", "upgrade", "head"),
            lambda: self.migrate.process.exit_code == 0, "(has ended)",
        )  # fmt: skip
        self.redis_part = Part(
            "redis", SERVERS, self.redis.process, self._redis_answers, f"127.0.0.1:{ports.redis}"
        )
        self.all = [
            *(self.postgres, self.redis_part, self.migrate),
            *(*self.apis, self.worker, self._celery("beat", *_BEAT)),
        ]
        if prometheus:
            self._serve_metrics(self.worker, ports.worker_metrics)
            targets = {"api": [ports.api_1, ports.api_2], "worker": [ports.worker_metrics]}
            self.all.append(
                prometheus_part(prometheus, place, ports.prometheus, targets, wave=MONITORING)
            )
        for part in self.all:
            part.process.log_file.unlink(missing_ok=True)

    def _api(self, name: str, port: int) -> Part:
        url = f"http://127.0.0.1:{port}"
        # The other options are those of the Dockerfile.
        listen = ["--host", "127.0.0.1", "--port", str(port)]
        listen += ["--ws-max-size", "131072", "--limit-concurrency", "2000"]
        # uvicorn trusts 127.0.0.1 to name the client's address. Here no gateway checks it, and a
        # tunnel forwards the header that its client wrote. An attacker could then use a new address
        # for each attempt to sign in.
        listen.append("--no-proxy-headers")
        process = self._ours(name, "uvicorn", "app.main:app", *listen)

        def is_ready() -> bool:
            try:
                answer = httpx.get(f"{url}/health/ready", trust_env=False, timeout=3)
            except httpx.HTTPError:
                return False
            return answer.status_code == httpx.codes.OK

        return Part(name, APPLICATION, process, is_ready, url)

    def _serve_metrics(self, worker: Part, port: int) -> None:
        """Let a worker serve its metrics. It listens on every interface, so only on request."""
        metrics = self._place.path("worker-metrics")
        worker.process.environment |= {
            "WORKER_METRICS_PORT": str(port),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        worker.address = f"http://127.0.0.1:{port}/metrics"
        remove_sign_of_life = worker.before_start

        def before_start() -> None:
            remove_sign_of_life()
            for file in metrics.iterdir():  # files of ended processes
                file.unlink()

        worker.before_start = before_start

    def _celery(self, name: str, *arguments: str) -> Part:
        """Return a Celery process, which is ready at its first heartbeat."""
        process = self._ours(name, "celery", "-A", "app.jobs.worker", *arguments)
        sign_of_life = self._place.directory / f"{name}.heartbeat"
        process.environment["HEARTBEAT_FILE"] = str(sign_of_life)

        def forget() -> None:
            sign_of_life.unlink(missing_ok=True)

        return Part(name, APPLICATION, process, sign_of_life.exists, before_start=forget)

    def _ours(self, name: str, module: str, *arguments: str) -> Process:
        """Return a process of the application; it runs in the place and reads its `.env`."""
        command = [str(self._python), "-m", module, *arguments]
        if module == "alembic":
            command[3:3] = ["-c", str(CAPSTONE / "alembic.ini")]
        directory = self._place.directory
        log = self._place.logs / f"{name}.log"
        environment = self._environment()
        return Process(command, environment, directory, log, forked_for=self._forked_for)

    def _environment(self) -> dict[str, str]:
        settings: Mapping[str, str] = {
            "ENVIRONMENT": "production",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url,
            "MEDIA_DIR": str(self._place.path("media")),
            "STUCK_AFTER": _STUCK_AFTER,
        }
        return {
            "PATH": os.pathsep.join([str(self._python.parent), os.defpath]),
            "HOME": str(self._place.directory),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(CAPSTONE),
            **settings,
        }

    def _postgres_answers(self) -> bool:
        try:
            address = self.database_url.replace("+asyncpg", "")
            with psycopg.connect(address, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _redis_answers(self) -> bool:
        try:
            return self.redis.command("PING") == b"PONG"
        except (OSError, AssertionError):  # refused, or Redis is still loading its data
            return False
