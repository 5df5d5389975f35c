"""What takes long: faults, which all happen at once, and a whole minute, beside the other tests."""

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
    """Put the test that has to wait for a minute at the end."""
    items.sort(key=lambda item: needs(item, EVERY_MINUTE))


@pytest.fixture(scope="session")
def every_minute(
    request: pytest.FixtureRequest,
    launch_for_session: Launch,
    stage: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Minute]:
    """What was seen of a server that removes what has ended once a minute.

    It takes a whole minute, so it begins with the first test and happens beside the others. Of
    several processes that share the tests, one does it and writes down what it saw for all.
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
    """Begin the whole minute before the first test here, if it is needed."""
    if request.config.getoption("base_url"):
        return
    if any(needs(item, EVERY_MINUTE) for item in request.session.items):
        request.getfixturevalue(EVERY_MINUTE)


def happen(fault: Callable[..., Evidence], server: LaunchedServer) -> Evidence:
    """Let a fault happen to a server that runs jobs itself, and end it."""
    server.start()
    try:
        with Api(server) as visitor:
            return fault(server, visitor.as_new_user())
    finally:
        server.end()  # what it has left to do would only slow the others down


def happen_to_all(fault: Callable[[Cluster], Evidence], cluster: Cluster) -> Evidence:
    """Let a fault happen to a server, its Redis and its workers, and end them."""
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
    """What was seen of each fault; all of them begin now."""
    calls: dict[Callable[..., Evidence], Callable[[], Evidence]] = {}
    if request.config.getoption("queue") == LOCAL:
        for fault in FAULTS:
            calls[fault] = partial(happen, fault, launch_for_module(start=False, JOB_LEASE=LEASE))
    else:
        if not redis_is_available():
            pytest.skip(NO_REDIS)
        for celery_fault in CELERY_FAULTS:
            directory = tmp_path_factory.mktemp(celery_fault.__name__)
            cluster = Cluster(launch_for_module(start=False, JOB_LEASE=LEASE), directory)
            calls[celery_fault] = partial(happen_to_all, celery_fault, cluster)
    with ThreadPoolExecutor() as pool:
        futures = {fault: pool.submit(call) for fault, call in calls.items()}
        yield lambda fault: futures[fault].result()
