"""Requirement 8.2: the owner of a job receives its progress as server-sent events."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from course.harness import profile
from course.harness.driver import Api
from course.harness.ledger import prose
from course.harness.memory import MIB
from course.harness.plugin import Launch
from course.harness.problems import reason
from course.harness.server import AttachedServer, Server
from course.harness.statements import Statements
from course.harness.waiting import eventually
from tests.stage05.jobs import (
    FAR_AWAY,
    FIELDS,
    SLOWEST,
    Job,
    Timer,
    read,
    seconds_from_now,
    submit,
    submit_file,
    succeeded,
)

pytestmark = pytest.mark.craft("J8")

TTL = 3  # seconds
WATCHING_USERS, STREAMS_EACH = 5, 6  # together more than the pool's database connections
MOST_STREAMS = 3
WINDOW = 3.0  # seconds
STOPS_WITHIN = 8.0  # seconds: the limit of five, and a reserve for a busy machine


@pytest.fixture(scope="session")
def streams(server: Server) -> bool:
    """Return whether the server streams job events; the contract does not require it."""
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


@pytest.fixture(autouse=True)
def _if_there_are_streams(streams: bool) -> None:
    if not streams:
        pytest.skip(
            "not checked: this server has no event stream; the contract does not require it"
        )


@contextmanager
def stream(api: Api, job_id: str) -> Iterator[httpx.Response]:
    """Open the stream of a job's events on its own connection."""
    with httpx.stream(
        "GET",
        api.base_url + profile.active().path(f"/jobs/{job_id}/events"),
        headers={"Authorization": f"Bearer {api.token}"},
        timeout=SLOWEST,
        trust_env=False,
    ) as response:
        yield response


def jobs_in(response: httpx.Response) -> Iterator[Job]:
    """Yield the job in each event of the stream."""
    for line in response.iter_lines():
        if line.startswith("data:"):
            job: Job = json.loads(line.removeprefix("data:"))
            yield job


def watched(api: Api, job_id: str) -> list[Job]:
    """Return all jobs that the stream sends, from its start to its end."""
    with stream(api, job_id) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(jobs_in(response))


@pytest.mark.requirement("8.2")
def test_the_stream_reports_every_status_and_ends_with_the_job(api: Api) -> None:
    job_id = submit(api, run_at=seconds_from_now(1.5))["id"]
    told = watched(api, job_id)
    assert [set(job) for job in told] == [FIELDS] * len(told)
    assert {job["id"] for job in told} == {job_id}
    statuses = [job["status"] for job in told]
    assert (statuses[0], statuses[-1]) == ("scheduled", "succeeded")
    order = ["scheduled", "queued", "running", "succeeded"]
    assert statuses == sorted(statuses, key=order.index)
    assert told[-1] == read(api, job_id)


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage
def test_the_progress_of_a_job_never_decreases(api: Api) -> None:
    told = watched(api, submit_file(api, prose(3 * MIB))["id"])
    progress = [job["progress"] for job in told]
    assert progress == sorted(progress)
    assert progress[-1] == 100


@pytest.mark.requirement("8.2")
def test_the_stream_of_an_ended_job_sends_one_event(api: Api) -> None:
    job = succeeded(api, submit(api)["id"])
    assert watched(api, job["id"]) == [job]


@pytest.mark.requirement("8.2")
def test_the_stream_ends_when_the_job_is_cancelled(api: Api) -> None:
    job_id = submit(api, run_at=FAR_AWAY)["id"]
    with stream(api, job_id) as response:
        told = jobs_in(response)
        assert next(told)["status"] == "scheduled"
        api.request("DELETE", f"/jobs/{job_id}")
        assert [job["status"] for job in told] == ["cancelled"]


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage
def test_a_stream_ends_when_the_token_expires(launch: Launch) -> None:
    with Api(launch(ACCESS_TOKEN_TTL=str(TTL))) as visitor:
        api = visitor.as_new_user()
        job_id = submit(api, run_at=FAR_AWAY)["id"]
        with Timer() as timer:
            told = watched(api, job_id)
        assert [job["status"] for job in told] == ["scheduled"]
        assert TTL - 1 < timer.seconds < TTL + 5


@pytest.mark.requirement("8.2")
@pytest.mark.users
def test_a_refused_stream_gets_an_error_status_with_a_reason(api: Api) -> None:
    job_id = submit(api, run_at=FAR_AWAY)["id"]
    for user, status in ((api.with_token("none"), 401), (api.as_new_user(), 404)):
        with stream(user, job_id) as response:
            assert response.status_code == status
            response.read()
            assert reason(response)
    api.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("8.2")
@pytest.mark.users
@pytest.mark.parametrize("token", [None, "no.valid.token"])
def test_a_stream_requires_a_token(api: Api, token: str | None) -> None:
    job = submit(api, run_at=FAR_AWAY)
    answer = api.with_token(token).request("GET", f"/jobs/{job['id']}/events")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert read(api, job["id"]) == job
    api.request("DELETE", f"/jobs/{job['id']}")


@pytest.mark.requirement("8.2")
@pytest.mark.users
def test_the_stream_of_another_users_job_gets_404(api: Api) -> None:
    other = api.as_new_user()
    done, waits = succeeded(api, submit(api)["id"]), submit(api, run_at=FAR_AWAY)
    for job in (done, waits):
        answer = other.request("GET", f"/jobs/{job['id']}/events")
        assert answer.status_code == 404
        assert isinstance(answer.json()["detail"], str)
        assert read(api, job["id"]) == job
    assert other.request("GET", "/jobs").json() == []
    api.request("DELETE", f"/jobs/{waits['id']}")


@pytest.mark.requirement("8.2")
def test_the_stream_of_an_unknown_job_gets_404(api: Api) -> None:
    assert api.request("GET", f"/jobs/{uuid.uuid4()}/events").status_code == 404
    for impossible in ("1", "no-uuid", "9" * 40, "%00"):
        answer = api.request("GET", f"/jobs/{impossible}/events")
        assert answer.status_code in (404, 422), impossible


@contextmanager
def idle_streams(apis: list[Api], each: int) -> Iterator[None]:
    """Keep `each` streams open for each user, on jobs that are scheduled far in the future."""
    jobs = [(api, submit(api, run_at=FAR_AWAY)["id"]) for api in apis]
    opened, leave = threading.Semaphore(0), threading.Event()

    def watch(api: Api, job_id: str) -> None:
        with stream(api, job_id) as response:
            told = jobs_in(response)  # keep the reference, or the stream would be closed
            next(told)
            opened.release()
            leave.wait(SLOWEST)

    watchers = [threading.Thread(target=watch, args=job) for job in jobs for _ in range(each)]
    for watcher in watchers:
        watcher.start()
    try:
        for _ in watchers:
            assert opened.acquire(timeout=SLOWEST)
        yield
    finally:
        leave.set()
        for watcher in watchers:
            watcher.join()
        for api, job_id in jobs:
            api.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("8.2")
@pytest.mark.slow
def test_many_streams_do_not_use_up_the_database_connections(api: Api) -> None:
    users = [api.as_new_user() for _ in range(WATCHING_USERS)]
    for _ in range(2):
        # All streams are idle meanwhile, and other requests must be served.
        with idle_streams(users, STREAMS_EACH), Timer() as timer:
            succeeded(api, submit(api)["id"])
            api.list_todos()
        assert timer.seconds < 10
    job_id = submit(api, run_at=FAR_AWAY)["id"]
    api.request("DELETE", f"/jobs/{job_id}")
    assert watched(api, job_id)[-1]["status"] == "cancelled"


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage
@pytest.mark.deployment("plain")
@pytest.mark.queue("local")
def test_all_streams_share_one_database_query(
    launch: Launch, stage_directory: Path, tmp_path: Path
) -> None:
    server = launch(start=False)
    statements = Statements(server, stage_directory, tmp_path)
    server.start()

    def statements_per_window() -> int:
        before = statements.count()
        time.sleep(WINDOW)
        return len(statements.since(before))

    with Api(server) as visitor:
        users = [visitor.as_new_user() for _ in range(WATCHING_USERS)]
        with idle_streams(users[:1], 1):
            of_one_stream = statements_per_window()
        with idle_streams(users, STREAMS_EACH):
            of_many_streams = statements_per_window()
    # The worker and the scheduler also query, equally often in both windows.
    assert of_many_streams < 1.5 * of_one_stream + 5


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage
@pytest.mark.queue("local")
def test_the_number_of_streams_of_a_user_is_limited(launch: Launch) -> None:
    with Api(launch(MAX_JOB_STREAMS_PER_USER=str(MOST_STREAMS))) as visitor:
        user, other = visitor.as_new_user(), visitor.as_new_user()
        job_ids = [submit(each, run_at=FAR_AWAY)["id"] for each in (user, other)]
        with idle_streams([user], MOST_STREAMS):
            with stream(user, job_ids[0]) as response:
                assert response.status_code == 429
                response.read()
                assert str(MOST_STREAMS) in reason(response)
            with stream(other, job_ids[1]) as response:
                assert next(jobs_in(response))["status"] == "scheduled"
            assert read(user, job_ids[0])["status"] == "scheduled"  # only streams are limited

        def reopened() -> bool:
            with stream(user, job_ids[0]) as response:
                return response.status_code == 200

        eventually(reopened)


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage("app/jobs/", "app/shutdown.py")
@pytest.mark.queue("local")
def test_a_server_stops_in_time_with_an_open_stream(launch: Launch) -> None:
    server = launch()
    with Api(server) as visitor:
        api = visitor.as_new_user()
        job_id = submit(api, run_at=FAR_AWAY)["id"]
        opened, ended = threading.Event(), threading.Event()

        def watch() -> None:
            with stream(api, job_id) as response:
                told = jobs_in(response)
                assert next(told)["status"] == "scheduled"
                opened.set()
                assert list(told) == []
            ended.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert opened.wait(SLOWEST)
        began = time.monotonic()
        exit_code = server.stop(within=SLOWEST)
        assert time.monotonic() - began < STOPS_WITHIN
        assert exit_code != -9
        watcher.join(SLOWEST)
        assert ended.is_set()  # the server ended the stream in an orderly way
        assert "Traceback" not in server.log_text()
        assert "Application shutdown complete" in server.log_text()
