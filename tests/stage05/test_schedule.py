"""Requirement 5.7: a job can run at a later time, and ended jobs are removed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.problems import named
from course.harness.waiting import eventually, in_parallel
from tests.stage05.every_minute import Minute
from tests.stage05.jobs import (
    FAR_AWAY,
    awaited,
    listed,
    moment,
    read,
    seconds_from_now,
    submit,
    submit_file,
    succeeded,
    upload,
)

pytestmark = pytest.mark.craft

A_TICK = timedelta(seconds=1)  # some clocks have whole seconds only
AFTER_ITS_TIME = 12.0  # seconds until a job that is due in two seconds must have ended
ON_TIME = 2.0  # seconds after its time until a job must have started


@pytest.mark.requirement("5.7")
@pytest.mark.contract("J3")
def test_a_scheduled_job_does_not_run_before_its_time(api: Api) -> None:
    run_at = seconds_from_now(2)
    job = submit(api, run_at=run_at)
    assert job["status"] == "scheduled"
    job = awaited(api, job["id"], within=AFTER_ITS_TIME)
    assert moment(job["started_at"]) >= moment(run_at) - A_TICK
    assert abs(moment(job["run_at"]) - moment(run_at)) <= A_TICK


@pytest.mark.requirement("5.7")
@pytest.mark.own_stage("app/jobs/")
def test_a_scheduled_job_starts_on_time(api: Api) -> None:
    run_at = seconds_from_now(2)
    job = submit(api, run_at=run_at)
    assert moment(job["run_at"]) == moment(run_at)
    job = succeeded(api, job["id"])
    late = (moment(job["started_at"]) - moment(run_at)).total_seconds()
    assert 0 <= late <= ON_TIME
    assert moment(job["run_at"]) == moment(run_at)


@pytest.mark.requirement("5.7")
@pytest.mark.contract("J3", "J11")
@pytest.mark.slow
def test_many_jobs_for_the_same_time_all_run(api: Api) -> None:
    run_at = seconds_from_now(1.5)
    asked = in_parallel(20, lambda _: submit(api, run_at=run_at)["id"])
    assert not asked.errors
    for job_id in asked.results:
        assert moment(succeeded(api, job_id)["started_at"]) >= moment(run_at) - A_TICK


@pytest.mark.requirement("5.7")
@pytest.mark.parametrize("run_at", ["1999-12-31T23:59:59Z", "2020-02-29T12:00:00+05:30"])
def test_a_job_with_a_run_at_in_the_past_runs_at_once(api: Api, run_at: str) -> None:
    job = submit(api, run_at=run_at)
    assert job["status"] != "scheduled"
    assert moment(job["run_at"]) == datetime.fromisoformat(run_at).astimezone(UTC)
    succeeded(api, job["id"])


@pytest.mark.requirement("5.7")
@pytest.mark.contract("E2")
def test_a_run_at_in_another_zone_is_returned_in_utc(api: Api) -> None:
    job = submit(api, run_at="2099-06-01T12:00:00+05:30")
    assert moment(job["run_at"]) == datetime(2099, 6, 1, 6, 30, tzinfo=UTC)
    api.request("DELETE", f"/jobs/{job['id']}")


FAR_OUT = [
    *("10000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
]
NO_JSON = [float("nan"), float("inf"), -1e300]


@pytest.mark.requirement("5.7")
@pytest.mark.contract("E4", "J3")
@pytest.mark.parametrize(
    "run_at",
    variants(
        [
            "2099-01-01T00:00:00",
            "2099-13-01T00:00:00Z",
            "2099-02-30T00:00:00Z",
            *FAR_OUT,
            "2099-01-01",
            "tomorrow",
            "",
            [],
            {},
            *NO_JSON,
        ],
        craft=[*FAR_OUT, "", *NO_JSON],
    ),
    ids=str,
)
def test_an_invalid_run_at_gets_422(api: Api, run_at: Any) -> None:
    body = json.dumps({"text": "Hello", "run_at": run_at}).encode()
    answer = api.request("POST", "/jobs", content=body)
    assert answer.status_code == 422
    assert "run_at" in named(answer)
    assert listed(api) == []


NUMBERS: list[Any] = [0, 4070908800, 30000000000, -1, 0.5, 10**30, True]
NUMBERS_AS_TEXT = ["0", "4070908800", "30000000000", "-1", "0.5", "1e10", " 4070908800"]
ODD_NUMBERS = ["-1", "0.5", "1e10", " 4070908800"]


@pytest.mark.requirement("5.7")
@pytest.mark.contract("J9")
@pytest.mark.parametrize(
    "run_at",
    [*variants(NUMBERS, craft=[10**30]), *variants(NUMBERS_AS_TEXT, craft=ODD_NUMBERS)],
    ids=repr,
)
def test_a_number_as_run_at_gets_422(api: Api, run_at: Any) -> None:
    answer = api.request("POST", "/jobs", json={"text": "Hello", "run_at": run_at})
    assert answer.status_code == 422, answer.text
    assert "run_at" in named(answer)


@pytest.mark.requirement("5.7")
@pytest.mark.contract("J9")
@pytest.mark.parametrize("run_at", variants(NUMBERS_AS_TEXT, craft=ODD_NUMBERS), ids=repr)
def test_a_number_as_run_at_in_a_form_gets_422(api: Api, run_at: str) -> None:
    answer = upload(api, b"Hello", run_at=run_at)
    assert answer.status_code == 422, answer.text
    assert "run_at" in named(answer)


@pytest.mark.requirement("5.7")
@pytest.mark.own_stage("app/jobs/")
@pytest.mark.contract("J7")
def test_a_cancelled_job_does_not_run_when_its_time_comes(api: Api) -> None:
    cancelled, control = (submit(api, run_at=seconds_from_now(1.5))["id"] for _ in range(2))
    assert api.request("DELETE", f"/jobs/{cancelled}").status_code == 200
    succeeded(api, control)
    job = read(api, cancelled)
    assert (job["status"], job["attempts"], job["result"]) == ("cancelled", 0, None)


@pytest.mark.requirement("5.7")
@pytest.mark.slow
@pytest.mark.alone
def test_a_scheduled_job_runs_on_time_while_a_large_text_is_analysed(api: Api) -> None:
    run_at = seconds_from_now(1.5)
    job_id = submit(api, run_at=run_at)["id"]
    large = submit_file(api, b"many words " * 150_000)["id"]
    job = succeeded(api, job_id)
    # At least one worker is free: there is only one large text.
    assert moment(job["started_at"]) - moment(run_at) <= timedelta(seconds=ON_TIME)
    succeeded(api, large)


@pytest.mark.requirement("5.7")
@pytest.mark.own_stage
@pytest.mark.queue("local")
def test_the_server_removes_old_ended_jobs_when_it_starts(launch: Launch) -> None:
    server = launch(JOB_RETENTION="1", JOB_CLEANUP_CRONTAB="0 0 29 2 *")
    with Api(server) as visitor:
        api = visitor.as_new_user()
        done, cancelled = submit(api)["id"], submit(api, run_at=FAR_AWAY)["id"]
        api.request("DELETE", f"/jobs/{cancelled}")
        waits = submit(api, run_at=FAR_AWAY)
        job = succeeded(api, done)
        passed = moment(job["finished_at"]) + timedelta(seconds=1.1)
        eventually(lambda: datetime.now(UTC) > passed)
        assert {job["id"] for job in listed(api)} == {done, cancelled, waits["id"]}
        server.restart()
        eventually(lambda: [job["id"] for job in listed(api)] == [waits["id"]], within=20)
        assert read(api, waits["id"]) == waits
        assert api.request("GET", f"/jobs/{done}").status_code == 404


@pytest.mark.requirement("5.7")
@pytest.mark.own_stage("app/jobs/")
def test_the_cleanup_schedule_removes_ended_jobs(every_minute: Minute) -> None:
    seen = every_minute()
    assert seen["left"] == [[seen["waits"], "scheduled"]]
