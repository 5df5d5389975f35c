"""Requirement C.7: every process measures all requests, grouped by route."""

import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.ports import free_port
from course.harness.queue import NO_REDIS, Process, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage05.cluster import Cluster
from tests.stage05.jobs import FAR_AWAY, seconds_from_now, submit, succeeded
from tests.stage08.chat import open_socket

pytestmark = pytest.mark.craft

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Metrics:
    """The scraped metrics: a value for each series."""

    series: dict[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one series with these labels; 0 if there is none."""
        return self.series.get((name, frozenset(labels.items())), 0.0)

    def names(self) -> set[str]:
        """Return the names of the series."""
        return {name for name, _ in self.series}

    def values_of(self, label: str) -> set[str]:
        """Return all values of a label."""
        return {value for _, labels in self.series for name, value in labels if name == label}


def scrape(base_url: str) -> Metrics:
    """Return the metrics as Prometheus reads them."""
    answer = httpx.get(f"{base_url}/metrics", trust_env=False, timeout=20)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return Metrics({(s.name, frozenset(s.labels.items())): s.value for s in samples})


def requests(metrics: Metrics, method: str, route: str, status: int) -> float:
    """Return the number of counted requests."""
    return metrics.value("http_requests_total", method=method, handler=route, status=str(status))


@pytest.fixture(scope="module")
def measured(launch_for_module: Launch) -> LaunchedServer:
    """Return a server that only this module uses, so that no other requests are counted."""
    return launch_for_module(REDIS_URL="")  # it runs its jobs itself


@pytest.fixture
def user(measured: LaunchedServer) -> Iterator[Api]:
    """Return a user of that server."""
    with Api(measured) as visitor:
        yield visitor.as_new_user()


@pytest.mark.requirement("C.7")
@pytest.mark.contract("O3")
def test_requests_are_counted_by_route_method_and_status(
    measured: LaunchedServer, user: Api
) -> None:
    before = scrape(measured.base_url)
    todos = [user.create_todo() for _ in range(3)]
    for todo in todos:
        user.get_todo(todo["id"])
    user.request("GET", "/todos/987654321")
    user.request("POST", "/todos", json={})
    after = scrape(measured.base_url)

    def counted(method: str, route: str, status: int) -> float:
        return requests(after, method, route, status) - requests(before, method, route, status)

    assert counted("POST", "/todos", 201) == 3
    assert counted("POST", "/todos", 422) == 1
    assert counted("GET", "/todos/{todo_id}", 200) == 3
    assert counted("GET", "/todos/{todo_id}", 404) == 1
    timed = {"method": "GET", "handler": "/todos/{todo_id}"}
    count = "http_request_duration_seconds_count"
    assert after.value(count, **timed) - before.value(count, **timed) == 4
    assert after.value("http_request_duration_seconds_sum", **timed) > 0
    name = "http_request_duration_seconds_bucket"
    assert after.value(name, **timed, le="+Inf") == after.value(count, **timed)


@pytest.mark.requirement("C.7")
def test_every_operation_of_the_api_has_its_own_series(measured: LaunchedServer, user: Api) -> None:
    paths = user.request("GET", "/openapi.json").json()["paths"]
    operations = {(method.upper(), path) for path in paths for method in paths[path]}
    assert len(operations) > 30
    for method, path in operations:
        concrete = path
        while "{" in concrete:
            start, _, rest = concrete.partition("{")
            concrete = f"{start}987654321{rest.partition('}')[2]}"
        user.with_token(None).request(method, concrete)
    after = scrape(measured.base_url)
    series = {
        (dict(labels)["method"], dict(labels)["handler"])
        for name, labels in after.series
        if name == "http_requests_total"
    }
    assert operations <= series


@pytest.mark.requirement("C.7")
def test_unknown_paths_share_one_series(measured: LaunchedServer, user: Api) -> None:
    junk = secrets.token_hex(4)
    client, base_url = user.client, measured.base_url
    client.get(f"{base_url}/{junk}")
    client.request("A", f"{base_url}/todos")
    client.get(f"{base_url}/todos/0/")
    scrape(base_url)  # creates the series of the scrape itself
    before = scrape(base_url)
    for number in range(200):
        client.get(f"{base_url}/{junk}/{number}")
    for number in range(20):
        client.get(f"{base_url}/todos/{junk}{number}/")  # gets a redirect
        client.get(f"{base_url}/images/{junk}{number}/nothing")
        client.request(f"{junk}{number}".upper(), f"{base_url}/todos")
    after = scrape(base_url)
    assert after.series.keys() == before.series.keys()
    assert not [value for value in after.values_of("handler") if junk in value]
    assert requests(after, "GET", "other", 404) - requests(before, "GET", "other", 404) >= 200
    assert requests(after, "other", "/todos", 405) >= 20


@pytest.mark.requirement("C.7")
def test_the_metrics_show_the_state_of_the_app(measured: LaunchedServer, user: Api) -> None:
    job_id = submit(user, run_at=FAR_AWAY)["id"]
    succeeded(user, submit(user)["id"])
    with open_socket(user, header=f"Bearer {user.token}"):

        def shown() -> bool:
            metrics = scrape(measured.base_url)
            assert metrics.value("jobs", status="scheduled") >= 1
            assert metrics.value("jobs", status="queued") == 0
            assert metrics.value("jobs_finished_total", status="succeeded") >= 1
            assert metrics.value("job_duration_seconds_count") >= 1
            assert metrics.value("database_pool_size") >= 1
            assert ("jobs_oldest_due_age_seconds", frozenset()) in metrics.series
            states = metrics.value("database_pool_connections", state="idle")
            assert states + metrics.value("database_pool_connections", state="in_use") >= 1
            assert metrics.value("websocket_connections") == 1
            return True

        assert eventually(shown, within=20)
    user.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("C.7")
def test_calls_to_the_provider_are_counted(measured: LaunchedServer, user: Api) -> None:
    before = scrape(measured.base_url).value("upstream_calls_total", outcome="answered")
    assert user.request("GET", f"/weather?city={secrets.token_hex(6)}").status_code in (200, 404)
    assert scrape(measured.base_url).value("upstream_calls_total", outcome="answered") > before


@pytest.mark.requirement("C.7")
def test_a_stream_is_not_buffered_and_is_counted_at_its_end(
    measured: LaunchedServer, user: Api
) -> None:
    job_id = submit(user, run_at=FAR_AWAY)["id"]
    route = "/jobs/{job_id}/events"
    before = requests(scrape(measured.base_url), "GET", route, 200)
    headers = {"Authorization": f"Bearer {user.token}"}
    address = f"{measured.base_url}/jobs/{job_id}/events"
    with user.client.stream("GET", address, headers=headers) as stream:
        told = stream.iter_lines()
        assert "scheduled" in next(told)
        assert requests(scrape(measured.base_url), "GET", route, 200) == before
        user.request("DELETE", f"/jobs/{job_id}")
        assert "cancelled" in "".join(told)
    eventually(lambda: requests(scrape(measured.base_url), "GET", route, 200) == before + 1)


@pytest.fixture(scope="module")
def two_processes(
    launch_for_module: Launch, tmp_path_factory: pytest.TempPathFactory
) -> LaunchedServer:
    """Return a server of two processes that share one port."""
    directory = tmp_path_factory.mktemp("metrics")
    server = launch_for_module(start=False, PROMETHEUS_MULTIPROC_DIR=str(directory))
    server.command = (*server.command, "--workers", "2")
    server.start()
    return server


def children(server: LaunchedServer) -> list[int]:
    """Return the ids of the processes that serve requests."""
    started = Process([], {}, server.data_dir, server.log_file)
    started._process = server._process
    return started.children()


@pytest.mark.requirement("C.7")
@pytest.mark.deployment("full")
def test_the_metrics_add_up_all_processes_of_a_port(two_processes: LaunchedServer) -> None:
    def served_by_both() -> bool:
        in_parallel(8, lambda _: httpx.get(f"{two_processes.base_url}/health/live"))
        files = two_processes.settings["PROMETHEUS_MULTIPROC_DIR"]
        return len(list(Path(files).glob("counter_*.db"))) >= 2

    eventually(served_by_both, within=30)
    before = requests(scrape(two_processes.base_url), "GET", "/todos", 401)
    for _ in range(40):  # each on its own connection
        assert httpx.get(f"{two_processes.base_url}/todos").status_code == 401
    for _ in range(4):
        assert requests(scrape(two_processes.base_url), "GET", "/todos", 401) == before + 40


@pytest.mark.requirement("C.7")
@pytest.mark.deployment("full")
def test_a_dead_process_has_no_connections_in_the_metrics(two_processes: LaunchedServer) -> None:
    base_url = two_processes.base_url

    def sizes() -> float:
        return scrape(base_url).value("database_pool_size")

    # A process may still be starting; its connections would be missing in the sum.
    started = "Application startup complete"
    eventually(lambda: two_processes.log_text().count(started) >= 2, within=30)
    one = sizes() / 2
    assert one >= 1
    before = scrape(base_url)
    victims = children(two_processes)
    serving = [pid for pid in victims if any(_files_of(two_processes, pid))]
    os.kill(serving[0], signal.SIGKILL)
    eventually(lambda: "died" in two_processes.log_text(), within=30)
    eventually(lambda: sizes() == 2 * one, within=60)
    after = scrape(base_url)
    # Its counters stay.
    assert requests(after, "GET", "/todos", 401) >= requests(before, "GET", "/todos", 401)


def _files_of(server: LaunchedServer, process_id: int) -> Iterator[Path]:
    return Path(server.settings["PROMETHEUS_MULTIPROC_DIR"]).glob(f"*_{process_id}.db")


@pytest.mark.requirement("C.7")
@pytest.mark.deployment("full")
@pytest.mark.skipif(not redis_is_available(), reason=NO_REDIS)
def test_a_worker_serves_the_metrics_of_its_processes(launch: Launch, tmp_path: Path) -> None:
    server = launch(start=False)
    cluster = Cluster(server, tmp_path)
    directory, port = tmp_path / "metrics", free_port()
    directory.mkdir()
    cluster.worker.environment |= {
        "PROMETHEUS_MULTIPROC_DIR": str(directory),
        "WORKER_METRICS_PORT": str(port),
        "REDIS_URL": cluster.redis.url,
    }
    try:
        api, _ = cluster.start()
        with api:
            cluster.worker.start()
            for _ in range(4):
                succeeded(api, submit(api)["id"])
        worker = scrape(f"http://127.0.0.1:{port}")
        assert worker.value("jobs_finished_total", status="succeeded") == 4
        assert worker.value("job_duration_seconds_count") == 4
        # The jobs are not in the server's metrics, because the server ran none.
        assert scrape(server.base_url).value("job_duration_seconds_count") == 0
    finally:
        cluster.end()


@pytest.mark.requirement("C.7")
@pytest.mark.deployment("full")
@pytest.mark.skipif(not redis_is_available(), reason=NO_REDIS)
def test_the_metrics_show_waiting_jobs_without_a_worker(launch: Launch, tmp_path: Path) -> None:
    cluster = Cluster(launch(start=False), tmp_path)
    try:
        api, _ = cluster.start()
        with api:
            for _ in range(3):
                submit(api)
            submit(api, run_at=seconds_from_now(3600))

            def waiting() -> bool:
                metrics = scrape(cluster.server.base_url)
                assert metrics.value("jobs", status="queued") == 3
                assert metrics.value("jobs", status="scheduled") == 1
                return metrics.value("jobs_oldest_due_age_seconds") > 1

            assert eventually(waiting, within=20)
    finally:
        cluster.end()
