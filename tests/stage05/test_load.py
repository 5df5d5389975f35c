"""Requirements 5.2 and 5.4: many jobs and large jobs at the same time delay no other request.

Run with `-rP` (or open the JUnit report) to see the figures.
"""

import threading
import time
from collections.abc import Callable
from statistics import quantiles

import pytest

from course.harness.driver import Api
from course.harness.ledger import FINISHED
from course.harness.memory import MIB
from course.harness.server import LaunchedServer, Server
from course.harness.waiting import in_parallel
from tests.stage05.jobs import (
    LONG,
    SLOWEST,
    Timer,
    read,
    submit,
    submit_file,
    succeeded,
)

pytestmark = pytest.mark.craft

P95_BOUND = 0.5  # seconds; counting in the event loop would take a second or more
FEWEST_SAMPLES = 2
CLIENTS, JOBS_EACH = 10, 10

# A text without spaces or word ends offers no good place to pause the counting. Some patterns take
# very long on a text without any letters.
TEXTS = {
    "prose": LONG,
    "no spaces": b"abcd.efgh," * (len(LONG) // 10),
    "one word": b"word" * (len(LONG) // 4),
    "hyphens": b"ab-c" * (MIB // 4),
    "dots": b"x" + b"." * MIB + b"x",
    "quotes": b"x." + b'"' * MIB + b"x",
    "accents": ("x" + "\u0301\u0316" * (MIB // 4)).encode(),
}


def p95(samples: list[float]) -> float:
    """Return the 95th percentile of the samples."""
    return quantiles(samples, n=20, method="inclusive")[-1]


def time_a_list(api: Api) -> float:
    """Return how many seconds `GET /todos` takes."""
    with Timer() as timer:
        assert api.request("GET", "/todos").status_code == 200
    return timer.seconds


def has_ended(api: Api, job_id: str) -> bool:
    """Return whether the job has ended."""
    return read(api, job_id)["status"] in FINISHED


@pytest.mark.requirement("5.2", "5.4")
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.queue("local")  # a worker of Celery counts in another process
def test_the_list_stays_fast_while_a_large_text_is_counted(
    api: Api, record_property: Callable[[str, object], None], kind: str
) -> None:
    idle = [time_a_list(api) for _ in range(50)]
    finished = threading.Event()
    job_id = submit_file(api, TEXTS[kind])["id"]

    def wait_for_the_job() -> None:
        deadline = time.monotonic() + SLOWEST
        try:
            while not has_ended(api, job_id) and time.monotonic() < deadline:
                finished.wait(0.1)  # rare enough to cause no load
        finally:
            finished.set()

    waiter = threading.Thread(target=wait_for_the_job)
    waiter.start()
    busy: list[float] = []
    while not finished.is_set() or len(busy) < FEWEST_SAMPLES:
        busy.append(time_a_list(api))
    waiter.join()
    figures = {
        "idle_p95_ms": round(p95(idle) * 1000, 1),
        "busy_p95_ms": round(p95(busy) * 1000, 1),
        "busy_worst_ms": round(max(busy) * 1000, 1),
        "busy_samples": len(busy),
    }
    for name, value in figures.items():
        record_property(name, value)
    print(f"GET /todos while a large text is counted ({kind}): {figures}")
    succeeded(api, job_id, within=1)
    assert p95(busy) < P95_BOUND, figures


@pytest.mark.requirement("5.2", "5.4")
@pytest.mark.slow
def test_a_hundred_concurrent_jobs_each_succeed_once(api: Api, server: Server) -> None:
    def ask_for_some(client: int) -> list[str]:
        return [submit(api, f"Job {client} {number}.")["id"] for number in range(JOBS_EACH)]

    asked = in_parallel(CLIENTS, ask_for_some)
    assert not asked.errors
    job_ids = {job_id for ids in asked.results for job_id in ids}
    assert len(job_ids) == CLIENTS * JOBS_EACH
    for job_id in job_ids:
        job = succeeded(api, job_id)
        assert job["attempts"] == 1
        assert job["result"]["words"] == 3
    if isinstance(server, LaunchedServer):
        statement = "SELECT replace(CAST(id AS VARCHAR(40)), '-', ''), attempts, status FROM jobs"
        rows = {row[0]: row[1:] for row in server.database.query(statement)}
        assert {rows[job_id.replace("-", "")] for job_id in job_ids} == {(1, "succeeded")}
