"""Requirements 5.4 and 5.5: Celery workers run jobs that Redis announces, and survive faults.

As in `test_faults.py`, all faults happen at the same time (`celery_faults.py`). Each has its own
processes, and the other tests run beside them.
"""

from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import BEAT, CELERY, WORKER, celery_process
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage05.celery_faults import (
    long_queue_before_a_due_job,
    notified_twice,
    redis_killed_and_paused,
    redis_restarted,
    worker_processes_killed,
)
from tests.stage05.conftest import Evidences
from tests.stage05.faults import Evidence
from tests.stage05.jobs import Job, submit, succeeded

pytestmark = [pytest.mark.craft, pytest.mark.queue(CELERY)]

STOPS_WITHIN = 15.0  # seconds
ASKING_TAKES = 5.0  # seconds at most, when there is no Redis


def assert_each_ended_once(seen: Evidence, jobs: list[Job]) -> None:
    """Check that every job succeeded once, with as many claims as attempts."""
    assert jobs
    for job in jobs:
        assert job["status"] == "succeeded", job
        assert seen["ledger"].ends(job["id"]) == ["succeeded"]
        assert job["attempts"] == len(seen["ledger"].claims(job["id"]))


@pytest.mark.requirement("5.4")
def test_a_celery_worker_runs_the_jobs(launched_server: LaunchedServer) -> None:
    with Api(launched_server) as visitor:
        api = visitor.as_new_user()
        job = succeeded(api, submit(api)["id"])
    assert job["result"]["words"] == 2
    assert "REDIS_URL" in launched_server.settings


@pytest.mark.requirement("5.4")
def test_workers_ignore_celery_control_messages(
    launched_server: LaunchedServer, stage_directory: Path
) -> None:
    """Otherwise any client of Redis could stop the workers with `celery control shutdown`."""
    command = ("celery", "-A", "app.jobs.worker", "inspect", "ping", "--timeout", "3")
    done = launched_server.run(*command, cwd=stage_directory)
    assert "pong" not in done.stdout
    assert done.returncode != 0
    with Api(launched_server) as visitor:  # a worker runs, although it does not answer the ping
        api = visitor.as_new_user()
        succeeded(api, submit(api)["id"])


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_a_job_waits_in_redis_until_a_worker_starts(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    assert seen["waiting"] == len(seen["jobs"])
    assert_each_ended_once(seen, seen["jobs"])


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_duplicate_messages_do_not_run_a_job_twice(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    assert seen["doubled"] == 2 * seen["waiting"]
    assert {job["attempts"] for job in seen["jobs"]} == {1}
    assert_each_ended_once(seen, seen["jobs"])


@pytest.mark.requirement("5.4", "5.7")
@pytest.mark.own_stage
def test_a_due_job_runs_as_soon_as_beat_starts(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    assert seen["without_beat"]["status"] in ("scheduled", "queued")
    assert_each_ended_once(seen, seen["with_beat"])


@pytest.mark.requirement("5.4", "5.7")
@pytest.mark.own_stage
def test_a_due_job_is_queued_behind_a_long_queue(evidence: Evidences) -> None:
    assert evidence(long_queue_before_a_due_job)["waiting"]


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_workers_continue_after_the_server_restarts(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    assert_each_ended_once(seen, seen["after"])


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_workers_and_beat_stop_cleanly(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    assert seen["exit_codes"] == [0, 0, 0], seen["logs"][-2000:]


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_workers_and_beat_log_no_secret(evidence: Evidences) -> None:
    seen = evidence(notified_twice)
    for secret in seen["secrets"]:
        assert secret not in seen["logs"]


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_workers_and_beat_leave_no_files_behind(evidence: Evidences) -> None:
    names = evidence(notified_twice)["files"]
    assert [name for name in names if "celery" in name or name.endswith(".pid")] == []


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_a_job_survives_a_kill_of_its_child_process(evidence: Evidences) -> None:
    seen = evidence(worker_processes_killed)
    assert seen["alive"]
    assert_each_ended_once(seen, seen["after_child"])
    attempts = {job["id"]: job["attempts"] for job in seen["after_child"]}
    assert seen["killed_child"]
    assert all(attempts[job_id] >= 2 for job_id in seen["killed_child"])


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_a_job_survives_a_kill_of_its_worker(evidence: Evidences) -> None:
    seen = evidence(worker_processes_killed)
    assert_each_ended_once(seen, seen["after_worker"])
    attempts = {job["id"]: job["attempts"] for job in seen["after_worker"]}
    assert seen["killed_worker"]
    assert all(attempts[job_id] >= 2 for job_id in seen["killed_worker"])


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_jobs_survive_a_redis_that_lost_its_data(evidence: Evidences) -> None:
    seen = evidence(redis_restarted)
    assert seen["waiting"] == 5
    assert seen["empty"] == 0
    assert_each_ended_once(seen, seen["jobs"])
    assert {job["attempts"] for job in seen["jobs"]} == {1}


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_jobs_are_accepted_quickly_without_redis(evidence: Evidences) -> None:
    seen = evidence(redis_restarted)
    print(f"POST /jobs without Redis: {seen['each_took']:.2f} s each")
    assert seen["each_took"] < ASKING_TAKES


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_workers_and_beat_stop_in_time_without_redis(evidence: Evidences) -> None:
    for name, (exit_code, seconds) in evidence(redis_restarted)["ends"].items():
        assert exit_code != -9, name
        assert seconds < STOPS_WITHIN, name


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_jobs_survive_a_kill_of_redis(evidence: Evidences) -> None:
    seen = evidence(redis_killed_and_paused)
    assert_each_ended_once(seen, seen["after_kill"])


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_jobs_submitted_while_redis_hangs_run_afterwards(evidence: Evidences) -> None:
    seen = evidence(redis_killed_and_paused)
    assert not seen["errors"]
    assert seen["asking_took"] < ASKING_TAKES
    assert_each_ended_once(seen, seen["after_pause"])


@pytest.fixture(scope="module")
def without_redis_url(launch_for_module: Launch) -> list[tuple[int | None, str]]:
    """Return the exit codes and logs of a worker and a beat without `REDIS_URL`."""
    server = launch_for_module(start=False, REDIS_URL="")
    processes = [
        celery_process(server, server.log_file.with_name(f"{arguments[0]}.log"), *arguments)
        for arguments in (WORKER, BEAT)
    ]

    def run(number: int) -> tuple[int | None, str]:
        process = processes[number]
        process.start()
        try:
            eventually(lambda: process.exit_code is not None, within=60)
        finally:
            process.end()
        return process.exit_code, process.log_text()

    return in_parallel(len(processes), run).results


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_a_worker_without_a_redis_url_exits_with_one_line(
    without_redis_url: list[tuple[int | None, str]],
) -> None:
    assert len(without_redis_url) == 2
    for exit_code, log in without_redis_url:
        assert exit_code not in (0, None)
        (line,) = log.strip().splitlines()
        assert "REDIS_URL" in line
