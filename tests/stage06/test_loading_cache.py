"""Requirements 6.2 and 6.4: rules of the cache that clients cannot observe.

The tests run in the app's environment. uvicorn does not cancel a handler when its client leaves,
so a client cannot cause a cancellation; and filling the cache over HTTP would take minutes.
"""

from pathlib import Path

import pytest

from course.harness.server import LaunchedServer

pytestmark = pytest.mark.craft

PREPARE = """
import asyncio
from app.weather.cache import LoadingCache, Outcome

class Gone(Exception): pass

now, loaded, gate = [0.0], [], asyncio.Event()

async def load(name):
    loaded.append(name)
    if name == "slow":
        await gate.wait()
    if name == "gone":
        raise Gone
    return name

cache = LoadingCache(
    load, key=str.casefold, ttl=600, stale_for=600, remember=Gone, remember_for=60,
    max_entries=100, clock=lambda: now[0],
)
"""

CHECKS = {
    "a cancelled request leaves the load to the others": """
async def check():
    impatient = asyncio.create_task(cache.get("slow"))
    patient = asyncio.create_task(cache.get("slow"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert (await patient).value == "slow"
    assert impatient.cancelled()
    assert loaded == ["slow"]
""",
    "a full cache evicts the least recently used entry": """
async def check():
    for number in range(20_000):
        await cache.get(f"city {number}")
        await cache.get("favourite")
    outcomes = [(await cache.get(name)).outcome for name in ("favourite", "city 19999", "city 0")]
    assert outcomes == [Outcome.HIT, Outcome.HIT, Outcome.MISS]
    assert len(loaded) == 20_002
""",
    "an entry expires after exactly ten minutes": """
async def check():
    outcomes = []
    for now[0] in (0, 1, 599.9, 600):
        cached = await cache.get("city")
        outcomes.append((cached.outcome, cached.age))
    assert outcomes == [("MISS", 0), ("HIT", 1), ("HIT", 599.9), ("MISS", 0)]
""",
    "an unknown name is requested again after a minute": """
async def check():
    for now[0] in (0, 59.9, 60):
        try:
            await cache.get("gone")
            raise AssertionError("it is there")
        except Gone:
            pass
    assert loaded == ["gone", "gone"]
""",
    "the traceback of a cached error does not grow": """
async def check():
    for _ in range(100):
        try:
            await cache.get("gone")
        except Gone as error:
            frames, traceback = 0, error.__traceback__
            while traceback:
                frames, traceback = frames + 1, traceback.tb_next
    assert frames < 20, frames
""",
}


@pytest.mark.requirement("6.4")
@pytest.mark.parametrize("promise", CHECKS)
def test_the_cache_follows_its_rules(
    launched_server: LaunchedServer, stage_directory: Path, promise: str
) -> None:
    program = f"{PREPARE}{CHECKS[promise]}\nasyncio.run(check())"
    done = launched_server.run("python", "-c", program, cwd=stage_directory)
    assert done.returncode == 0, done.stdout
