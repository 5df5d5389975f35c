"""Row C.3: no order of steps makes the cache serve a value that a write has replaced.

A load test meets such an order once in a while. `cache_schedules.py` tries all of them, one by one,
with the app's own cache and models of Redis and the database.
"""

from pathlib import Path

import pytest

from course.harness.server import LaunchedServer

# Each schedule runs in one process, on stores of its own: once is enough.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

PROGRAM = Path(__file__).with_name("cache_schedules.py")

# How many orders there are at least: an exploration that ends early would prove nothing.
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
def test_no_order_of_steps_brings_an_old_value_back(
    launched_server: LaunchedServer, stage_directory: Path, scenario: str
) -> None:
    done = launched_server.run(
        *("python", "-c", PROGRAM.read_text(encoding="utf-8"), scenario), cwd=stage_directory
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split()[-1]) >= SCENARIOS[scenario]
