"""Requirements C.6 and C.11: the health routes answer quickly and report only what works."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.queue import NO_REDIS, Redis, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage04.storage import media_of

pytestmark = pytest.mark.craft

NEW = {"title": "has to wait"}
SOON = 3.0  # seconds; a check has one second


def ready(server: LaunchedServer) -> httpx.Response:
    """Request `/health/ready`; the answer must come soon."""
    began = time.monotonic()
    answer = httpx.get(f"{server.base_url}/health/ready", trust_env=False, timeout=20)
    assert time.monotonic() - began < SOON
    assert answer.headers["content-type"] == "application/json"
    assert "no-store" in answer.headers["cache-control"]
    return answer


def state(server: LaunchedServer) -> tuple[int, str, dict[str, str]]:
    """Return the status code, the overall status, and the status of each dependency."""
    answer = ready(server)
    content = answer.json()
    assert content.keys() == {"status", "checks"}
    checks = {name: check["status"] for name, check in content["checks"].items()}
    return answer.status_code, content["status"], checks


def assert_alive(server: LaunchedServer) -> None:
    """Check that the liveness route answers, so that the process is not restarted."""
    began = time.monotonic()
    answer = httpx.get(f"{server.base_url}/health/live", trust_env=False, timeout=20)
    assert answer.status_code == 200
    assert time.monotonic() - began < SOON


@pytest.fixture(scope="module")
def server_on_postgres(launch_for_module: Launch, own_postgres: Postgres) -> LaunchedServer:
    """Return a server with few connections on a PostgreSQL that a test may stop."""
    url = create_database(own_postgres.url)
    return launch_for_module(
        DATABASE_URL=url, DATABASE_POOL_SIZE="2", DATABASE_MAX_OVERFLOW="0", REDIS_URL=""
    )


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Return a Redis that only this module uses."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture(scope="module")
def server_with_redis(launch_for_module: Launch, redis: Redis) -> LaunchedServer:
    """Return a server with a Redis that a test may stop."""
    return launch_for_module(REDIS_URL=redis.url)


@pytest.mark.requirement("C.6", "C.11")
@pytest.mark.contract("O1", "O2")
def test_the_health_routes_need_no_token(visitor: Api) -> None:
    assert visitor.request("GET", "/health/live").status_code == 200
    answer = visitor.request("GET", "/health/ready")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert answer.json()["checks"]["database"]["status"] == "up"
    assert answer.json()["checks"]["media"]["status"] == "up"


@pytest.mark.requirement("C.6", "C.11")
@pytest.mark.contract("O1", "O2")
@pytest.mark.parametrize("fault", ["stopped", "hanging"])
def test_a_server_without_its_database_is_alive_but_not_ready(
    server_on_postgres: LaunchedServer, own_postgres: Postgres, fault: str
) -> None:
    server = server_on_postgres
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    (own_postgres.stop if fault == "stopped" else own_postgres.pause)()
    try:
        eventually(lambda: state(server)[:2] == (503, "unavailable"), within=10)
        assert state(server)[2]["database"] == "down"
        assert_alive(server)
        for secret in (own_postgres.url, "127.0.0.1", "postgres", "Error", "refused"):
            assert secret not in ready(server).text
    finally:
        (own_postgres.start if fault == "stopped" else own_postgres.resume)()
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    assert "Traceback" not in server.log_text()


@pytest.mark.requirement("C.11")
def test_a_server_with_a_busy_pool_is_ready(
    server_on_postgres: LaunchedServer,
) -> None:
    server = server_on_postgres
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    with Api(server) as visitor:
        api = visitor.as_new_user()
        with ThreadPoolExecutor(4) as people:
            with server.database.write_lock():
                waiting = [people.submit(api.request, "POST", "/todos", json=NEW) for _ in range(4)]
                eventually(lambda: _in_use(server) == 2)
                for _ in range(5):
                    assert state(server)[:2] == (200, "ready")
                    assert _in_use(server) == 2
            assert {request.result().status_code for request in waiting} <= {201, 503}


def _in_use(server: LaunchedServer) -> int:
    metrics = httpx.get(f"{server.base_url}/metrics", trust_env=False, timeout=20).text
    wanted = 'database_pool_connections{state="in_use"} '
    (line,) = [line for line in metrics.splitlines() if line.startswith(wanted)]
    return int(float(line.removeprefix(wanted)))


@pytest.mark.requirement("C.6", "C.11")
@pytest.mark.parametrize("fault", ["killed", "hanging"])
def test_a_server_without_redis_is_degraded_and_still_serves(
    server_with_redis: LaunchedServer, redis: Redis, fault: str
) -> None:
    server = server_with_redis
    eventually(lambda: state(server) == (200, "ready", state(server)[2]), within=30)
    assert state(server)[2]["redis"] == "up"
    (redis.kill if fault == "killed" else redis.pause)()
    try:
        eventually(lambda: state(server)[:2] == (200, "degraded"), within=10)
        assert state(server)[2]["redis"] == "down"
        assert redis.password not in ready(server).text
        with Api(server) as visitor:
            assert visitor.as_new_user().create_todo()["id"]
    finally:
        (redis.start if fault == "killed" else redis.resume)()
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    assert redis.password not in server.log_text()


@pytest.mark.requirement("C.6", "C.11")
def test_a_server_without_its_media_directory_is_degraded(
    server_with_redis: LaunchedServer,
) -> None:
    server, media = server_with_redis, media_of(server_with_redis)
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    elsewhere = media.rename(media.with_name("elsewhere"))
    eventually(lambda: state(server)[:2] == (200, "degraded"), within=10)
    assert state(server)[2] | {"database": "up", "media": "down"} == state(server)[2]
    assert str(media) not in ready(server).text
    elsewhere.rename(media)
    eventually(lambda: state(server)[:2] == (200, "ready"), within=10)


@pytest.mark.requirement("C.11")
@pytest.mark.deployment("plain")
def test_a_server_with_an_outdated_schema_is_not_ready(
    server_with_redis: LaunchedServer,
) -> None:
    server = server_with_redis
    ((head,),) = server.database.query("SELECT version_num FROM alembic_version")
    server.database.execute("UPDATE alembic_version SET version_num = '0001'")
    eventually(lambda: state(server)[:2] == (503, "unavailable"), within=10)
    # A newer schema occurs during an update: the old replicas must continue to serve.
    server.database.execute("UPDATE alembic_version SET version_num = 'of the future'")
    eventually(lambda: state(server)[:2] == (200, "ready"), within=10)
    server.database.execute("UPDATE alembic_version SET version_num = ?", head)
    eventually(lambda: state(server)[:2] == (200, "ready"), within=10)


@pytest.mark.requirement("C.11")
def test_concurrent_readiness_requests_share_one_check(
    server_on_postgres: LaunchedServer, own_postgres: Postgres
) -> None:
    server = server_on_postgres
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
    # While the database hangs, the last result is shared by all concurrent requests.
    own_postgres.pause()
    try:
        eventually(lambda: state(server)[:2] == (503, "unavailable"), within=10)
        address = f"{server.base_url}/health/ready"
        with httpx.Client(trust_env=False, timeout=60) as client, ThreadPoolExecutor(20) as probes:
            began = time.monotonic()
            answers = list(probes.map(lambda _: client.get(address), range(100)))
            took = time.monotonic() - began
        assert {answer.status_code for answer in answers} == {503}
        assert took < 10  # without sharing, each request would take a second
    finally:
        own_postgres.resume()
    eventually(lambda: state(server)[:2] == (200, "ready"), within=30)
