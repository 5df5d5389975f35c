"""Rows 5.4 and 5.5: jobs in Celery workers told by Redis, and what happens when one of them dies.

As with `test_faults.py`, all faults happen at once (`celery_faults.py`), each to processes of its
own, while the other tests run.
"""

from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import BEAT, CELERY, WORKER, celery_process
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage05.celery_faults import (
    many_before_it,
    redis_killed_and_paused,
    redis_restarted,
    told_twice,
    worker_processes_killed,
)
from tests.stage05.conftest import Evidences
from tests.stage05.faults import Evidence
from tests.stage05.jobs import Job, submit, succeeded

pytestmark = [pytest.mark.craft, pytest.mark.queue(CELERY)]

STOPS_WITHIN = 15.0  # seconds
ASKING_TAKES = 5.0  # seconds at most, when there is no Redis


def came_to_one_end(seen: Evidence, jobs: list[Job]) -> None:
    """Assert that every job succeeded once, and was begun as often as it says."""
    assert jobs
    for job in jobs:
        assert job["status"] == "succeeded", job
        assert seen["ledger"].ends(job["id"]) == ["succeeded"]
        assert job["attempts"] == len(seen["ledger"].claims(job["id"]))


@pytest.mark.requirement("5.4")
def test_a_worker_runs_the_jobs_and_not_the_server(launched_server: LaunchedServer) -> None:
    with Api(launched_server) as visitor:
        api = visitor.as_new_user()
        job = succeeded(api, submit(api)["id"])
    assert job["result"]["words"] == 2
    assert "REDIS_URL" in launched_server.settings


@pytest.mark.requirement("5.4")
def test_workers_take_no_orders_by_messages(
    launched_server: LaunchedServer, stage_directory: Path
) -> None:
    """Whoever reaches Redis could stop them by `celery control shutdown`."""
    command = ("celery", "-A", "app.jobs.worker", "inspect", "ping", "--timeout", "3")
    done = launched_server.run(*command, cwd=stage_directory)
    assert "pong" not in done.stdout
    assert done.returncode != 0
    with Api(launched_server) as visitor:  # there is a worker, it does not answer to that
        api = visitor.as_new_user()
        succeeded(api, submit(api)["id"])


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_a_job_waits_in_redis_for_a_worker_that_comes_later(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    assert seen["waiting"] == len(seen["jobs"])
    came_to_one_end(seen, seen["jobs"])


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_two_workers_that_are_told_twice_run_no_job_twice(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    assert seen["doubled"] == 2 * seen["waiting"]
    assert {job["attempts"] for job in seen["jobs"]} == {1}
    came_to_one_end(seen, seen["jobs"])


@pytest.mark.requirement("5.4", "5.7")
@pytest.mark.own_stage
def test_without_beat_a_job_that_is_due_waits_and_then_runs(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    assert seen["without_beat"]["status"] in ("scheduled", "queued")
    came_to_one_end(seen, seen["with_beat"])


@pytest.mark.requirement("5.4", "5.7")
@pytest.mark.own_stage
def test_a_job_that_is_due_joins_the_queue_however_long_it_is(evidence: Evidences) -> None:
    assert evidence(many_before_it)["waiting"]


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_a_restart_of_the_server_is_nothing_to_the_workers(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    came_to_one_end(seen, seen["after"])


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_workers_and_beat_stop_in_good_order(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    assert seen["exit_codes"] == [0, 0, 0], seen["logs"][-2000:]


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_no_secret_is_logged(evidence: Evidences) -> None:
    seen = evidence(told_twice)
    for secret in seen["secrets"]:
        assert secret not in seen["logs"]


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_workers_and_beat_leave_no_files_behind(evidence: Evidences) -> None:
    names = evidence(told_twice)["files"]
    assert [name for name in names if "celery" in name or name.endswith(".pid")] == []


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_a_job_survives_the_child_process_that_ran_it(evidence: Evidences) -> None:
    seen = evidence(worker_processes_killed)
    assert seen["alive"]
    came_to_one_end(seen, seen["after_child"])
    attempts = {job["id"]: job["attempts"] for job in seen["after_child"]}
    assert seen["killed_child"]
    assert all(attempts[job_id] >= 2 for job_id in seen["killed_child"])


@pytest.mark.requirement("5.4")
@pytest.mark.own_stage
def test_a_job_survives_the_worker_that_ran_it(evidence: Evidences) -> None:
    seen = evidence(worker_processes_killed)
    came_to_one_end(seen, seen["after_worker"])
    attempts = {job["id"]: job["attempts"] for job in seen["after_worker"]}
    assert seen["killed_worker"]
    assert all(attempts[job_id] >= 2 for job_id in seen["killed_worker"])


@pytest.mark.requirement("5.5")
@pytest.mark.own_stage
def test_jobs_survive_a_redis_that_lost_everything(evidence: Evidences) -> None:
    seen = evidence(redis_restarted)
    assert seen["waiting"] == 5
    assert seen["empty"] == 0
    came_to_one_end(seen, seen["jobs"])
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
def test_jobs_survive_a_redis_that_was_killed(evidence: Evidences) -> None:
    seen = evidence(redis_killed_and_paused)
    came_to_one_end(seen, seen["after_kill"])


@pytest.mark.requirement("5.4", "5.5")
@pytest.mark.own_stage
def test_jobs_are_accepted_while_redis_hangs_and_run_afterwards(evidence: Evidences) -> None:
    seen = evidence(redis_killed_and_paused)
    assert not seen["errors"]
    assert seen["asking_took"] < ASKING_TAKES
    came_to_one_end(seen, seen["after_pause"])


@pytest.fixture(scope="module")
def without_redis_url(launch_for_module: Launch) -> list[tuple[int | None, str]]:
    """Exit codes and logs of a worker and a beat that were not told of a Redis: both at once."""
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
def test_without_a_redis_url_they_do_not_start_and_one_line_says_why(
    without_redis_url: list[tuple[int | None, str]],
) -> None:
    assert len(without_redis_url) == 2
    for exit_code, log in without_redis_url:
        assert exit_code not in (0, None)
        (line,) = log.strip().splitlines()
        assert "REDIS_URL" in line
