"""Row 8.2: a job's progress is streamed, as server-sent events, to its owner."""

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
WATCHING_USERS, STREAMS_EACH = 5, 6  # more than a pool of database connections has
MOST_STREAMS = 3
WINDOW = 3.0  # seconds
STOPS_WITHIN = 8.0  # seconds; five, and some for a busy machine


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


@pytest.fixture(autouse=True)
def _if_there_are_streams(streams: bool) -> None:
    if not streams:
        pytest.skip("not checked: there is no stream, which the contract does not ask for")


@contextmanager
def stream(api: Api, job_id: str) -> Iterator[httpx.Response]:
    """Open the stream of a job's events over a connection of its own."""
    with httpx.stream(
        "GET",
        api.base_url + profile.active().path(f"/jobs/{job_id}/events"),
        headers={"Authorization": f"Bearer {api.token}"},
        timeout=SLOWEST,
        trust_env=False,
    ) as response:
        yield response


def jobs_in(response: httpx.Response) -> Iterator[Job]:
    """Yield the job that each event of the stream carries."""
    for line in response.iter_lines():
        if line.startswith("data:"):
            job: Job = json.loads(line.removeprefix("data:"))
            yield job


def watched(api: Api, job_id: str) -> list[Job]:
    """Return what the stream of a job tells, from its begin to its end."""
    with stream(api, job_id) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(jobs_in(response))


@pytest.mark.requirement("8.2")
def test_the_stream_tells_every_step_and_ends_with_the_job(api: Api) -> None:
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
def test_progress_never_goes_back(api: Api) -> None:
    told = watched(api, submit_file(api, prose(3 * MIB))["id"])
    progress = [job["progress"] for job in told]
    assert progress == sorted(progress)
    assert progress[-1] == 100


@pytest.mark.requirement("8.2")
def test_a_job_that_has_ended_is_told_once(api: Api) -> None:
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
def test_a_stream_lasts_no_longer_than_a_token(launch: Launch) -> None:
    with Api(launch(ACCESS_TOKEN_TTL=str(TTL))) as visitor:
        api = visitor.as_new_user()
        job_id = submit(api, run_at=FAR_AWAY)["id"]
        with Timer() as timer:
            told = watched(api, job_id)
        assert [job["status"] for job in told] == ["scheduled"]
        assert TTL - 1 < timer.seconds < TTL + 5


@pytest.mark.requirement("8.2")
@pytest.mark.users
def test_a_stream_that_may_not_be_watched_is_refused_before_it_begins(api: Api) -> None:
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
def test_a_stream_needs_a_token(api: Api, token: str | None) -> None:
    job = submit(api, run_at=FAR_AWAY)
    answer = api.with_token(token).request("GET", f"/jobs/{job['id']}/events")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert read(api, job["id"]) == job
    api.request("DELETE", f"/jobs/{job['id']}")


@pytest.mark.requirement("8.2")
@pytest.mark.users
def test_a_job_of_somebody_else_cannot_be_watched(api: Api) -> None:
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
def test_an_unknown_job_cannot_be_watched(api: Api) -> None:
    assert api.request("GET", f"/jobs/{uuid.uuid4()}/events").status_code == 404
    for impossible in ("1", "no-uuid", "9" * 40, "%00"):
        answer = api.request("GET", f"/jobs/{impossible}/events")
        assert answer.status_code in (404, 422), impossible


@contextmanager
def idle_streams(apis: list[Api], each: int) -> Iterator[None]:
    """Hold streams open, so many of each user, each of a job that waits for another century."""
    jobs = [(api, submit(api, run_at=FAR_AWAY)["id"]) for api in apis]
    opened, leave = threading.Semaphore(0), threading.Event()

    def watch(api: Api, job_id: str) -> None:
        with stream(api, job_id) as response:
            told = jobs_in(response)  # kept: what nobody reads any more is closed
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
def test_many_who_watch_and_leave_do_not_use_the_server_up(api: Api) -> None:
    users = [api.as_new_user() for _ in range(WATCHING_USERS)]
    for _ in range(2):
        # All of them wait meanwhile; nobody else is kept out.
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
def test_all_streams_share_one_look_at_the_database(
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
    # The workers and the scheduler ask, too, as often in either window.
    assert of_many_streams < 1.5 * of_one_stream + 5


@pytest.mark.requirement("8.2")
@pytest.mark.own_stage
@pytest.mark.queue("local")
def test_a_user_has_a_limited_number_of_streams(launch: Launch) -> None:
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
        assert ended.is_set()  # the stream was ended, not cut
        assert "Traceback" not in server.log_text()
        assert "Application shutdown complete" in server.log_text()
