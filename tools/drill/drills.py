"""The eight drills. Each breaks one part of the stack and may return a sentence for the report."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

import psycopg

from course.harness.ledger import FINISHED, prose
from tools.drill.clients import Clients
from tools.drill.scene import Drill, Scene

REDIS_HANGS_FOR = 10.0  # seconds
LOCKED_FOR = 8.0
CROWD = 60  # requests at once, more than the two pools have connections: 2 × (10 + 5)
LONG_JOB = 4 * 1024 * 1024  # bytes of text: seconds of work
MID_JOB = 10  # percent, at least


async def kill_an_api(scene: Scene, _: Clients) -> str:
    """SIGKILL: its requests and sockets break off."""
    api = scene.parts.apis[0]
    api.process.kill()
    return f"ready again after {await _seconds_until_ready(scene, 0):.1f} s"


async def terminate_an_api(scene: Scene, _: Clients) -> str:
    """SIGTERM: it finishes its requests, closes its sockets with 1012, and ends."""
    api = scene.parts.apis[0]
    api.ask_to_stop()
    began = time.monotonic()
    await scene.until_ended(api)
    stopped = time.monotonic() - began
    back = await _seconds_until_ready(scene, 0)
    return f"ended after {stopped:.1f} s, ready again after {back:.1f} s"


async def restart_redis(scene: Scene, _: Clients) -> str:
    """Redis stops cleanly and starts again with the data that it saved."""
    await scene.stop(scene.parts.redis_part)
    await scene.start(scene.parts.redis_part)
    return ""


async def restart_postgres(scene: Scene, _: Clients) -> str:
    """A fast shutdown: PostgreSQL cuts connections and rolls back open transactions."""
    began = time.monotonic()
    await scene.stop(scene.parts.postgres)
    await scene.start(scene.parts.postgres)
    return f"away for {time.monotonic() - began:.1f} s"


async def kill_the_worker(scene: Scene, clients: Clients) -> str:
    """SIGKILL for the worker and its processes, while one of them runs a long job."""
    job_id = await clients.send_file(prose(LONG_JOB))
    statement = "SELECT status, progress, attempts FROM jobs WHERE id = ?"

    def until(is_so: Callable[[str, int], bool]) -> tuple[str, int, int]:
        while True:
            ((status, progress, attempts),) = scene.database.query(statement, job_id)
            if is_so(status, progress):
                return str(status), int(progress), int(attempts)
            time.sleep(0.1)

    _, at, _ = await asyncio.to_thread(until, lambda _, progress: progress >= MID_JOB)
    scene.parts.worker.process.kill()
    killed = time.monotonic()
    status, _, attempts = await asyncio.to_thread(until, lambda status, _: status in FINISHED)
    took = time.monotonic() - killed
    return f"the job was at {at} %; {status} {took:.0f} s later, at attempt {attempts}"


async def pause_redis(scene: Scene, _: Clients) -> str:
    """SIGSTOP: connections stay open and get no answer. Then SIGCONT."""
    scene.parts.redis.pause()
    try:
        await asyncio.sleep(REDIS_HANGS_FOR)
    finally:
        scene.parts.redis.resume()
    return ""


async def rolling_restart(scene: Scene, _: Clients) -> str:
    """Restart the first API process; when it is ready again, restart the second."""
    for api in scene.parts.apis:
        await scene.stop(api)
        await scene.start(api)
    return ""


async def fill_the_pool(scene: Scene, clients: Clients) -> str:
    """Lock the table of todos while a crowd writes: each request holds a connection."""
    address = scene.parts.database_url.replace("+asyncpg", "")
    async with await psycopg.AsyncConnection.connect(address) as connection:
        await connection.execute("LOCK TABLE todos IN EXCLUSIVE MODE")
        crowd = [asyncio.create_task(clients.try_once(number % 2)) for number in range(CROWD)]
        await asyncio.sleep(LOCKED_FOR)
    stored = sum(await asyncio.gather(*crowd))
    return f"of a crowd of {CROWD}, {stored} were served and {CROWD - stored} asked to try again"


async def _seconds_until_ready(scene: Scene, number: int) -> float:
    began = time.monotonic()
    await scene.until_ready(scene.parts.apis[number])
    return time.monotonic() - began


DRILLS: dict[int, tuple[str, Drill]] = {
    1: ("SIGKILL an API process", kill_an_api),
    2: ("SIGTERM an API process", terminate_an_api),
    3: ("restart Redis", restart_redis),
    4: ("restart PostgreSQL", restart_postgres),
    5: ("SIGKILL the worker, at work", kill_the_worker),
    6: (f"Redis hangs for {REDIS_HANGS_FOR:.0f} s", pause_redis),
    7: ("rolling restart of the API", rolling_restart),
    8: ("fill the pool", fill_the_pool),
}
HANDLED = (signal.SIGTERM, signal.SIGHUP)
