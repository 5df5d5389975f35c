"""Requirement C.3: in every order of its steps, the cache never returns a replaced value.

A load test rarely meets a harmful order. `cache_schedules.py` tries all orders with the app's own
cache and with models of Redis and the database.
"""

from pathlib import Path

import pytest

from course.harness.server import LaunchedServer

# Each schedule runs in one process with model stores, so one deployment is enough.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

PROGRAM = Path(__file__).with_name("cache_schedules.py")

# The minimum number of orders: an exploration that ends early proves nothing.
SCENARIOS = {
    "a_reader_finds_the_old_value_in_redis": 1000,
    "a_reader_loads_the_old_value": 300,
    "two_writers_and_a_reader": 1000,
    "a_writer_is_cancelled": 300,
    "redis_fails_once": 1000,
    "redis_fails_while_a_reader_loads": 1000,
    "redis_fails_for_another_request": 1000,
    "another_process_reads": 200,
    "another_process_loads": 1000,
    "a_write_while_the_process_connects": 1000,
}


@pytest.mark.requirement("C.3")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_cache_never_returns_a_replaced_value_in_any_order(
    launched_server: LaunchedServer, stage_directory: Path, scenario: str
) -> None:
    done = launched_server.run(
        *("python", "-c", PROGRAM.read_text(encoding="utf-8"), scenario), cwd=stage_directory
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[-1]) >= SCENARIOS[scenario]
