"""Slow fixtures that run beside the other tests: all faults at once, and a whole minute."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from course.harness.driver import Api
from course.harness.early import needs
from course.harness.plugin import Launch
from course.harness.queue import LOCAL, NO_REDIS, Queue, redis_is_available
from course.harness.server import LaunchedServer
from tests.stage05.celery_faults import CELERY_FAULTS
from tests.stage05.cluster import Cluster
from tests.stage05.every_minute import Minute, read_later, watch_for_a_minute
from tests.stage05.faults import FAULTS, Evidence

EVERY_MINUTE = "every_minute"  # the fixture
LEASE = "3"  # seconds, where workers die

Evidences = Callable[[Callable[..., Evidence]], Evidence]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the test that waits for a minute to the end."""
    items.sort(key=lambda item: needs(item, EVERY_MINUTE))


@pytest.fixture(scope="session")
def every_minute(
    request: pytest.FixtureRequest,
    launch_for_session: Launch,
    stage: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Minute]:
    """Return the results of a server that removes ended jobs once a minute.

    The wait is a whole minute, so it starts with the first test and runs beside the others. If
    several processes share the tests, one of them does the work and writes the results to a file.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    seen = shared / "every_minute.json"
    try:
        (shared / "every_minute.begun").touch(exist_ok=False)
    except FileExistsError:
        yield partial(read_later, seen)
        return
    server = launch_for_session(start=False, JOB_RETENTION="0", JOB_CLEANUP_CRONTAB="* * * * *")
    queue = Queue(request.config.getoption("queue"), stage, tmp_path_factory.mktemp("every_minute"))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(watch_for_a_minute, server, queue, seen)
        yield partial(read_later, seen)


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Start the minute before the first test of this folder, if a test needs it."""
    if request.config.getoption("base_url"):
        return
    if any(needs(item, EVERY_MINUTE) for item in request.session.items):
        request.getfixturevalue(EVERY_MINUTE)


def cause(fault: Callable[..., Evidence], server: LaunchedServer) -> Evidence:
    """Cause a fault in a server that runs jobs itself, and stop that server."""
    server.start()
    try:
        with Api(server) as visitor:
            return fault(server, visitor.as_new_user())
    finally:
        server.end()  # its remaining jobs would slow the other tests down


def cause_in_cluster(fault: Callable[[Cluster], Evidence], cluster: Cluster) -> Evidence:
    """Cause a fault in a server, its Redis and its workers, and stop them."""
    try:
        return fault(cluster)
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def evidence(
    request: pytest.FixtureRequest,
    launch_for_module: Launch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evidences]:
    """Return a function that returns the results of a fault; all faults start now."""
    calls: dict[Callable[..., Evidence], Callable[[], Evidence]] = {}
    if request.config.getoption("queue") == LOCAL:
        for fault in FAULTS:
            calls[fault] = partial(cause, fault, launch_for_module(start=False, JOB_LEASE=LEASE))
    else:
        if not redis_is_available():
            pytest.skip(NO_REDIS)
        for celery_fault in CELERY_FAULTS:
            directory = tmp_path_factory.mktemp(celery_fault.__name__)
            cluster = Cluster(launch_for_module(start=False, JOB_LEASE=LEASE), directory)
            calls[celery_fault] = partial(cause_in_cluster, celery_fault, cluster)
    with ThreadPoolExecutor() as pool:
        futures = {fault: pool.submit(call) for fault, call in calls.items()}
        yield lambda fault: futures[fault].result()
