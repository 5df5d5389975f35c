"""What takes long begins with the first test and is looked at last: faults, and a whole minute."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import httpx
import pytest

from tests.harness import profile
from tests.harness.driver import Api
from tests.harness.early import needs
from tests.harness.plugin import Launch
from tests.harness.queue import LOCAL, NO_REDIS, Queue, redis_is_available
from tests.harness.server import AttachedServer, LaunchedServer, Server
from tests.stage05.celery_faults import CELERY_FAULTS
from tests.stage05.cluster import Cluster
from tests.stage05.faults import FAULTS, Evidence
from tests.stage05.jobs import FAR_AWAY, submit

# Fixtures that begin early, and what a test that needs one says.
NEEDS_A_MINUTE = "every_minute"
NEEDS_FAULTS = "evidence"

Evidences = Callable[[Callable[..., Evidence]], Evidence]


class EveryMinute(NamedTuple):
    """A user of that server, a job that ends and is to go, and one that waits and is to stay."""

    api: Api
    done: str
    waits: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that have to wait at the end, the one for the minute last."""
    items.sort(key=lambda item: 2 * needs(item, NEEDS_A_MINUTE) + needs(item, NEEDS_FAULTS))


@pytest.fixture(scope="session")
def streams(server: Server) -> bool:
    """Whether the server streams what happens to a job, which the contract does not ask for."""
    if not isinstance(server, AttachedServer):
        return True
    with Api(server) as visitor:
        api = visitor.as_new_user()
        path = f"/jobs/{submit(api, run_at=FAR_AWAY)['id']}"
        with httpx.stream(
            "GET",
            api.base_url + profile.active().path(f"{path}/events"),
            headers={"Authorization": f"Bearer {api.token}"},
            trust_env=False,
        ) as answer:
            status = answer.status_code
        api.request("DELETE", path)
    return status != httpx.codes.NOT_FOUND


@pytest.fixture(scope="session")
def every_minute(
    request: pytest.FixtureRequest,
    launch_for_session: Launch,
    stage: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EveryMinute]:
    """A server that keeps what has ended for no time at all, and removes it once a minute."""
    server = launch_for_session(start=False, JOB_RETENTION="0", JOB_CLEANUP_CRONTAB="* * * * *")
    queue = Queue(request.config.getoption("queue"), stage, tmp_path_factory.mktemp("every_minute"))
    queue.serve(server)
    try:
        server.start()
        with Api(server) as visitor:
            api = visitor.as_new_user()
            waits = submit(api, run_at=FAR_AWAY)["id"]
            yield EveryMinute(api, submit(api)["id"], waits)
    finally:
        queue.end()


def happen(fault: Callable[..., Evidence], server: LaunchedServer) -> Evidence:
    """Let a fault happen to a server that runs jobs itself."""
    server.start()
    with Api(server) as visitor:
        return fault(server, visitor.as_new_user())


@pytest.fixture(scope="session")
def evidence(
    request: pytest.FixtureRequest,
    launch_for_session: Launch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evidences]:
    """What was seen of each fault; all of them begin now."""
    calls: dict[Callable[..., Evidence], Callable[[], Evidence]] = {}
    clusters: list[Cluster] = []
    if request.config.getoption("queue") == LOCAL:
        for fault in FAULTS:
            calls[fault] = partial(happen, fault, launch_for_session(start=False))
    else:
        if not redis_is_available():
            pytest.skip(NO_REDIS)
        for celery_fault in CELERY_FAULTS:
            directory = tmp_path_factory.mktemp(celery_fault.__name__)
            clusters.append(Cluster(launch_for_session(start=False), directory))
            calls[celery_fault] = partial(celery_fault, clusters[-1])
    with ThreadPoolExecutor() as pool:
        futures = {fault: pool.submit(call) for fault, call in calls.items()}
        yield lambda fault: futures[fault].result()
    for cluster in clusters:
        cluster.end()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Begin what takes long before the first test here, if it is needed."""
    if request.config.getoption("base_url"):
        return
    for fixture in (NEEDS_A_MINUTE, NEEDS_FAULTS):
        if any(needs(item, fixture) for item in request.session.items):
            request.getfixturevalue(fixture)
