"""Requirement 5.5: jobs survive a restart and a kill."""

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage05.jobs import (
    FAR_AWAY,
    LONG,
    awaited,
    has_status,
    listed,
    read,
    seconds_from_now,
    submit,
    submit_file,
    succeeded,
)

SOON = 1.5  # seconds
AFTER_A_KILL = 30.0  # seconds; an interrupted job must have ended by then


@pytest.mark.requirement("5.5")
@pytest.mark.contract("J11")
@pytest.mark.queue("local")
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_every_job_survives_a_restart(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        done = succeeded(api, submit(api)["id"])
        later = submit(api, run_at=FAR_AWAY)
        soon = submit(api, run_at=seconds_from_now(SOON))
        restartable.restart()
        # An ended job does not run again, and a waiting job runs at its time.
        assert {job["id"] for job in listed(api)} == {done["id"], later["id"], soon["id"]}
        assert read(api, later["id"]) == later
        assert awaited(api, soon["id"], within=AFTER_A_KILL)["attempts"] == 1
        assert read(api, done["id"]) == done


@pytest.mark.requirement("5.5")
@pytest.mark.contract("J11")
@pytest.mark.queue("local")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_job_that_runs_during_a_kill_ends_after_the_restart(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        jobs = [submit_file(api, LONG)["id"] for _ in range(3)]
        has_status(api, jobs[0], "running", "succeeded")
        restartable.kill()
        restartable.start()
        for job_id in jobs:
            assert awaited(api, job_id, within=AFTER_A_KILL)["result"]
