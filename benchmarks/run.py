"""Compares the capstone with minimal programs (floors), on this machine and in one run.

    python3 noxfile.py bench                  everything, in about four minutes
    python3 noxfile.py bench --quick       shorter rounds and fewer rows; nothing is written
    python3 noxfile.py bench reads chat    some groups only; nothing is written

The programs of a group run in turns on the same core, in short rounds, so other work on the machine
affects all of them. A ratio is the median of the rounds' ratios. Writes `results.json`,
`results.svg`, and the table in `README.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx

from benchmarks import plot, rows
from benchmarks.load import Requests, requests_per_second
from benchmarks.load_chat import Room
from benchmarks.servers import CAN_PIN, CORES, OTHER_CORES, Server, on_cores, running
from course.catalog.environment import stage_python
from course.catalog.stages import find_stage, load_course
from course.harness.postgres import Postgres, create_database
from course.harness.queue import Redis

HERE = Path(__file__).resolve().parent
CAPSTONE = HERE.parent / "capstone_production"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"

CONNECTIONS = 16
SOCKETS = 300
FEW, MANY, MANY_QUICKLY = 1_000, 1_000_000, 50_000  # rows
READER = {"username": "reader", "password": secrets.token_urlsafe(16)}
TODO = b'{"title":"Buy milk","description":"Two litres, and not the long-life one"}'
ALIKE = 1 / 1.3  # the permitted ratio at a million rows


@dataclass(frozen=True)
class Round:
    """The result of a program in one round: a rate, and its share of the core's time."""

    rate: float
    busy: float


@dataclass(frozen=True)
class Comparison:
    """The required ratio: `ours` at `wanted` times the rate of `floor`, of the same group."""

    name: str
    ours: str
    floor: str
    wanted: float | None


@dataclass(frozen=True)
class Result:
    """The results. `ratio_of_work` counts only the time in which a program had the core."""

    name: str
    unit: str
    rate: float
    floor_rate: float
    ratio: float
    ratio_of_work: float | None
    wanted: float | None
    busy: float


@dataclass(frozen=True)
class Contender:
    """A program of a group, with the function that measures it once."""

    server: Server
    measure: Callable[[float], Awaitable[float]]


@dataclass(frozen=True)
class Scale:
    """The duration of the measurement."""

    seconds: float
    rounds: int
    many: int


async def compete(contenders: dict[str, Contender], scale: Scale) -> dict[str, list[Round]]:
    """Run the programs in turns; every second round in the opposite order."""
    found: dict[str, list[Round]] = {name: [] for name in contenders}
    for number in range(scale.rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            contender = contenders[name]
            cpu, began = contender.server.cpu_seconds(), time.perf_counter()
            rate = await contender.measure(scale.seconds)
            took = time.perf_counter() - began
            busy = (contender.server.cpu_seconds() - cpu) / took
            found[name].append(Round(rate, busy))
    return found


def compare(
    comparisons: Sequence[Comparison], found: dict[str, list[Round]], unit: str
) -> list[Result]:
    """Return the results of a group, and print them."""
    results = []
    for each in comparisons:
        pairs = list(zip(found[each.ours], found[each.floor], strict=True))
        of_work = None
        if all(ours.busy and floor.busy for ours, floor in pairs):
            of_work = median(
                (ours.rate / ours.busy) / (floor.rate / floor.busy) for ours, floor in pairs
            )
        results.append(
            Result(
                name=each.name,
                unit=unit,
                rate=median(ours.rate for ours, _ in pairs),
                floor_rate=median(floor.rate for _, floor in pairs),
                ratio=median(ours.rate / floor.rate for ours, floor in pairs),
                ratio_of_work=of_work,
                wanted=each.wanted,
                busy=median(ours.busy for ours, _ in pairs),
            )
        )
        print(row(results[-1]), flush=True)
    return results


class Bench:
    """The servers around the programs: PostgreSQL with a small and a large database, and Valkey."""

    def __init__(self, python: Path, directory: Path, postgres: Postgres, redis: Redis) -> None:
        self.python = str(python)
        self.directory = directory
        self.redis_url = redis.url
        self.few = create_database(postgres.url)
        self.many = create_database(postgres.url)
        self.settings = {
            "ENVIRONMENT": "production",
            "LOG_FORMAT": "json",
            "JWT_SECRET": secrets.token_urlsafe(48),
            "ACCESS_TOKEN_TTL": "86400",
            "RATE_LIMIT_AUTH": "1000/second",
            "BCRYPT_ROUNDS": "4",  # passwords are not measured, and the chat needs many users
            # SQLAlchemy closes connections beyond the pool's size after each use.
            "DATABASE_POOL_SIZE": str(CONNECTIONS),
            "PYTHONPYCACHEPREFIX": str(HERE.parent / ".nox" / "bytecode"),
        }
        self.token = ""
        self.reader = 0
        self.chatters: list[
            str
        ] = []  # tokens of many users, since one user may have few sockets and send slowly

    def prepare(self, scale: Scale) -> None:
        """Make the tables, the reader and the rows; the reader is the same in both databases."""
        for url, count in ((self.few, FEW), (self.many, scale.many)):
            environment = {**self.settings, "DATABASE_URL": url, "PATH": os.defpath}
            command = [self.python, "-m", "alembic", "upgrade", "head"]
            subprocess.run(command, cwd=CAPSTONE, env=environment, check=True, capture_output=True)
            with self.capstone(url) as server, client_of(server) as client:
                registered = client.post("/auth/register", json=READER).raise_for_status()
                self.reader = registered.json()["id"]
                answer = client.post("/auth/token", data=READER).raise_for_status()
                self.token = answer.json()["access_token"]
                if url == self.few:
                    self.chatters = [sign_up(client) for _ in range(SOCKETS)]
            print(f"{count:,} rows …", flush=True)
            rows.fill(url, reader=self.reader, rows=count)

    def capstone(
        self, database_url: str, program: str = "app.main", **more: str
    ) -> AbstractContextManager[Server]:
        """Start the capstone."""
        settings = {**self.settings, "DATABASE_URL": database_url, **more}
        settings["PYTHONPATH"] = str(CAPSTONE)
        return running(self._uvicorn(program), settings, self.directory, f"capstone-{program}")

    def floor(self, program: str, **settings: str) -> AbstractContextManager[Server]:
        """Start a floor program."""
        command = [*self._uvicorn(program), "--no-access-log"]
        return running(command, settings, self.directory, program)

    def websockets(self) -> AbstractContextManager[Server]:
        """Start the floor program that does not run in uvicorn."""
        command = [self.python, str(HERE / "floor_chat.py"), "{port}"]
        return running(command, {}, self.directory, "websockets")

    def _uvicorn(self, program: str) -> list[str]:
        options = ["--app-dir", str(HERE), "--port", "{port}", "--log-level", "info"]
        return [self.python, "-m", "uvicorn", f"{program}:app", *options]

    def requests(self, server: Server, requests: Requests) -> Contender:
        """Return the contender for these requests."""

        async def measure(seconds: float) -> float:
            return await requests_per_second(
                server.port, requests, connections=CONNECTIONS, seconds=seconds
            )

        return Contender(server, measure)

    def read(self, *paths: str) -> Requests:
        """Return requests of the reader."""
        return Requests("GET", paths, self.token)


def sign_up(client: httpx.Client) -> str:
    """Register a user and return the token."""
    user = {"username": f"chatter-{secrets.token_hex(8)}", "password": secrets.token_urlsafe(16)}
    client.post("/auth/register", json=user).raise_for_status()
    token: str = client.post("/auth/token", data=user).raise_for_status().json()["access_token"]
    return token


def client_of(server: Server) -> httpx.Client:
    """Return a client for requests that are not measured."""
    return httpx.Client(base_url=server.url, trust_env=False, timeout=60)


async def reads(bench: Bench, scale: Scale) -> list[Result]:
    """Measure reads from the first level of the cache, and the cost of metrics and logs."""
    ids = rows.own_todos(bench.few, bench.reader, 20)
    one = bench.read(*(f"/todos/{todo_id}" for todo_id in ids))
    with (
        bench.floor("floor_fastapi") as floor,
        bench.capstone(bench.few, REDIS_URL=bench.redis_url) as capstone,
        bench.capstone(bench.few, "unobserved", REDIS_URL=bench.redis_url) as unobserved,
    ):
        items = Requests("GET", [f"/items/{number}" for number in range(1, 21)])
        contenders = {
            "bare": bench.requests(floor, items),
            "one": bench.requests(capstone, one),
            "list": bench.requests(capstone, bench.read("/todos?limit=20")),
            "unobserved": bench.requests(unobserved, one),
        }
        found = await compete(contenders, scale)
    comparisons = [
        Comparison("GET /todos/{id} : bare FastAPI", "one", "bare", 0.45),
        Comparison("GET /todos?limit=20 : bare FastAPI", "list", "bare", 0.45),
        Comparison("with metrics and logs : without", "one", "unobserved", 0.75),
    ]
    return compare(comparisons, found, "requests/s")


async def writes(bench: Bench, scale: Scale) -> list[Result]:
    """Measure a write: token, validation, transaction, and both cache levels invalidated."""
    create = Requests("POST", ["/todos"], bench.token, TODO, status=201)
    settings = {"DATABASE_URL": bench.few, "OWNER_ID": str(bench.reader)}
    with (
        bench.floor("floor_starlette", **settings) as floor,
        bench.capstone(bench.few, REDIS_URL=bench.redis_url) as capstone,
    ):
        contenders = {
            "bare": bench.requests(floor, create),
            "create": bench.requests(capstone, create),
        }
        found = await compete(contenders, scale)
    comparison = Comparison("POST /todos : Starlette + asyncpg", "create", "bare", 0.30)
    return compare([comparison], found, "requests/s")


async def sizes(bench: Bench, scale: Scale) -> list[Result]:
    """Measure reads at both sizes, with the cache off: each goes to the database."""
    uncached = {"CACHE_L1_TTL": "0", "CACHE_L1_SIZE": "0"}
    results = []
    with (
        bench.capstone(bench.few, **uncached) as few,
        bench.capstone(bench.many, **uncached) as many,
    ):
        servers = {"few": (few, FEW, bench.few), "many": (many, scale.many, bench.many)}
        ids = {
            size: rows.own_todos(url, bench.reader, 200) for size, (_, _, url) in servers.items()
        }
        # Concurrent requests differ, since only one of several requests that miss the same entry
        # loads it.
        pages = [f"limit=20&offset={offset}" for offset in range(0, 200, 5)]
        paths: dict[str, Callable[[str, int], list[str]]] = {
            "GET /todos/{id}": lambda size, _: [f"/todos/{todo_id}" for todo_id in ids[size]],
            "GET /todos?limit=20": lambda _size, _rows: [f"/todos?{page}" for page in pages],
            "GET /chat/messages": lambda _, count: [
                "/chat/messages",
                f"/chat/messages?before={count // 2}",
            ],
            "GET /posts": lambda _size, _rows: [f"/posts?{page}" for page in pages],
        }
        for name, paths_of in paths.items():
            contenders = {
                size: bench.requests(server, bench.read(*paths_of(size, count)))
                for size, (server, count, _) in servers.items()
            }
            found = await compete(contenders, scale)
            comparison = Comparison(f"{name} : at {FEW:,} rows", "many", "few", ALIKE)
            results += compare([comparison], found, "requests/s")
    return results


async def chat(bench: Bench, scale: Scale) -> list[Result]:
    """Measure how many messages arrive at many sockets."""
    with ExitStack() as stack:
        servers = {
            "loop": stack.enter_context(bench.floor("floor_chat")),
            "websockets": stack.enter_context(bench.websockets()),
            "ours": stack.enter_context(bench.capstone(bench.few, REDIS_URL=bench.redis_url)),
        }
        contenders = {}
        for name, server in servers.items():
            room = Room(server.port, bench.chatters)
            stack.callback(room.close)
            await room.open()
            contenders[name] = Contender(server, room.deliveries_per_second)
        found = await compete(contenders, scale)
    comparisons = [
        Comparison(f"chat, {SOCKETS} sockets : bare Starlette loop", "ours", "loop", 0.70),
        Comparison(f"chat, {SOCKETS} sockets : websockets' broadcast", "ours", "websockets", None),
    ]
    return compare(comparisons, found, "deliveries/s")


GROUPS = {"reads": reads, "writes": writes, "chat": chat, "sizes": sizes}


def row(result: Result) -> str:
    """Return a line of the table."""
    wanted = "—" if result.wanted is None else f"≥ {result.wanted:.2f}"
    missed = result.wanted is not None and result.ratio < result.wanted
    of_work = "—" if result.ratio_of_work is None else f"{result.ratio_of_work:.2f}"
    cells = [
        result.name,
        f"{result.rate:,.0f}",
        f"{result.floor_rate:,.0f}",
        f"**{result.ratio:.2f}**" + (" ✗" if missed else ""),
        wanted,
        of_work,
        f"{result.busy:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def write_down(results: list[Result], machine: dict[str, str]) -> None:
    """Write the results, the picture and the table."""
    answer = {"machine": machine, "results": [asdict(result) for result in results]}
    (HERE / "results.json").write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    plot.main()
    heads = ["ours : floor", "ours /s", "floor /s", "ratio", "wanted", "ratio of work", "busy"]
    lines = [
        "; ".join(f"{name}: {value}" for name, value in machine.items()) + ".",
        "",
        f"| {' | '.join(heads)} |",
        "|---" + "|--:" * (len(heads) - 1) + "|",
        *(row(result) for result in results),
    ]
    readme = HERE / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join(lines)
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def describe_machine(load_before: float) -> dict[str, str]:
    """Return the time, the machine and its load."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    pinned = "server on one, load and databases on the other(s)" if CAN_PIN else "not pinned"
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{model}, {len(CORES)} cores ({pinned}), {platform.system()}",
        "Python": platform.python_version(),
        "load average": f"{load_before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end",
    }


async def measure(python: Path, groups: Sequence[str], scale: Scale) -> list[Result]:
    """Run the groups."""
    results = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        directory = Path(name)
        postgres = Postgres()
        stack.callback(postgres.end)
        postgres.start()
        redis = Redis(directory / "redis")
        stack.callback(redis.process.end)
        redis.start()
        bench = Bench(python, directory, postgres, redis)
        bench.prepare(scale)
        for group in groups:
            results += await GROUPS[group](bench, scale)
    return results


def main() -> int:
    """Return 1 if a required ratio was not reached."""
    parser = argparse.ArgumentParser(description="Compare the capstone with minimal programs.")
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []])
    parser.add_argument("--quick", action="store_true", help="shorter rounds and fewer rows")
    parser.add_argument("--python", type=Path, help="with the capstone's requirements")
    options = parser.parse_args()
    python = options.python or stage_python(find_stage(load_course(), "9"))
    scale = Scale(0.7, 5, MANY_QUICKLY) if options.quick else Scale(1.5, 7, MANY)
    load_before = os.getloadavg()[0]
    # Each program of the chat needs one file for each socket, all open at once.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    with on_cores(OTHER_CORES):
        results = asyncio.run(measure(python, options.groups or list(GROUPS), scale))
    if not options.quick and not options.groups:
        write_down(results, describe_machine(load_before))
    return any(each.wanted is not None and each.ratio < each.wanted for each in results)


if __name__ == "__main__":
    sys.exit(main())
