"""Requirements 5.2 and 5.4: each accepted job ends exactly once, also after a fault of the server.

Each fault takes seconds, so all of them happen at the same time (`faults.py`). Each has its own
server with a shorter lease than usual.
"""

import re
from datetime import timedelta

import pytest

from course.harness.driver import Api
from course.harness.ledger import MAX_ATTEMPTS, lease_of
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.conftest import LEASE, Evidences
from tests.stage05.faults import (
    fails_every_time,
    killed_in_mid_job,
    killed_in_the_last_attempt,
    stopped_after_the_job_was_taken_over,
    stopped_in_mid_job,
)
from tests.stage05.jobs import (
    LONG,
    Job,
    submit_file,
    succeeded,
)

pytestmark = [pytest.mark.craft, pytest.mark.own_stage, pytest.mark.queue("local")]

TRACES = ("Traceback", "sqlite", "SELECT", "jobs.text", "secret", "codec")


@pytest.mark.requirement("5.2", "5.4")
@pytest.mark.contract("J11")
def test_every_job_ends_once_after_a_kill(evidence: Evidences) -> None:
    seen = evidence(killed_in_mid_job)
    assert "running" in seen["statuses"].values()
    assert "queued" in seen["statuses"].values()
    assert seen["statuses"][seen["later"]] == "scheduled"
    for job_id, job in seen["jobs"].items():
        assert job["status"] == "succeeded", job
        assert seen["ledger"].ends(job_id) == ["succeeded"]


@pytest.mark.requirement("5.2", "5.4")
def test_a_running_job_gets_another_attempt_after_a_kill(evidence: Evidences) -> None:
    seen = evidence(killed_in_mid_job)
    for job_id, status in seen["statuses"].items():
        claims = seen["ledger"].claims(job_id)
        assert seen["jobs"][job_id]["attempts"] == len(claims)
        assert len(claims) == (2 if status == "running" else 1), status


@pytest.mark.requirement("5.2", "5.7")
def test_a_scheduled_job_still_waits_after_a_kill(evidence: Evidences) -> None:
    assert evidence(killed_in_mid_job)["waits"]["status"] == "scheduled"


@pytest.mark.requirement("5.2", "5.4")
def test_a_stopping_server_releases_its_running_job(evidence: Evidences) -> None:
    seen = evidence(stopped_in_mid_job)
    assert seen["exit_code"] != -9
    assert seen["took"] < 10
    assert seen["status"] == "queued"
    assert seen["ledger"].ends(seen["job"]["id"]) == ["succeeded"]
    assert len(seen["ledger"].claims(seen["job"]["id"])) == 2
    assert "Traceback" not in seen["log"]


@pytest.mark.requirement("5.4")
def test_a_stopping_server_leaves_a_job_that_another_worker_took_over(evidence: Evidences) -> None:
    seen = evidence(stopped_after_the_job_was_taken_over)
    assert seen["status"] == "running"
    assert "LeaseLost" not in seen["log"], seen["log"]


@pytest.mark.requirement("5.7")
def test_an_ended_job_is_unchanged_after_a_restart(evidence: Evidences) -> None:
    before, after = evidence(stopped_in_mid_job)["done"]
    assert before == after


@pytest.mark.requirement("5.2")
@pytest.mark.contract("J12")
def test_a_failing_job_has_a_limited_number_of_attempts(evidence: Evidences) -> None:
    seen = evidence(fails_every_time)
    job: Job = seen["job"]
    assert (job["status"], job["attempts"]) == ("failed", MAX_ATTEMPTS)
    assert (job["result"], seen["report"], seen["cancel"]) == (None, 409, 409)
    assert job["finished_at"] is not None
    assert seen["ledger"].ends(job["id"]) == ["failed"]


@pytest.mark.requirement("5.2")
def test_a_failing_job_waits_longer_before_each_attempt(evidence: Evidences) -> None:
    seen = evidence(fails_every_time)
    first, second, third = seen["ledger"].claims(seen["job"]["id"])
    assert second - first >= 0.5
    assert third - second > 1.2 * (second - first)


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J12")
def test_the_error_of_a_job_reveals_no_internal_details(evidence: Evidences) -> None:
    seen = evidence(fails_every_time)
    error = seen["job"]["error"]
    assert 10 <= len(error) <= 500
    assert "\n" not in error
    assert not [trace for trace in TRACES if trace.lower() in error.lower()], error
    assert not re.search(r"[A-Z]\w*(Error|Exception)\b", error), error


@pytest.mark.requirement("5.2")
def test_a_failing_job_does_not_delay_other_jobs(evidence: Evidences) -> None:
    seen = evidence(fails_every_time)
    assert seen["other"]["finished_at"] < seen["job"]["finished_at"]


@pytest.mark.requirement("5.2")
@pytest.mark.contract("J11")
def test_a_job_fails_after_its_server_died_in_the_last_attempt(evidence: Evidences) -> None:
    seen = evidence(killed_in_the_last_attempt)
    job: Job = seen["job"]
    assert seen["status"] == "running"
    assert (job["status"], job["attempts"], job["result"]) == ("failed", MAX_ATTEMPTS, None)
    assert not [trace for trace in TRACES if trace.lower() in job["error"].lower()]
    assert seen["ledger"].ends(job["id"]) == ["failed"]
    assert len(seen["ledger"].claims(job["id"])) == 1


@pytest.mark.requirement("5.2", "5.4")
def test_a_lease_lasts_ten_seconds_by_default(api: Api, launched_server: LaunchedServer) -> None:
    job_id = submit_file(api, LONG)["id"]
    lease = eventually(lambda: lease_of(launched_server.database, job_id), within=30)
    assert lease is not None
    assert timedelta(seconds=10) <= lease < timedelta(seconds=15)  # renewed early
    succeeded(api, job_id)


@pytest.mark.requirement("5.2", "5.4")
def test_a_lease_lasts_the_configured_time(evidence: Evidences) -> None:
    leases = evidence(killed_in_mid_job)["leases"]
    assert leases
    for lease in leases:
        assert timedelta(seconds=float(LEASE)) <= lease < timedelta(seconds=10)
