"""Requirements 5.1 and 5.6: users submit, read and cancel their own jobs."""

import json
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.memory import MIB
from course.harness.plugin import Launch
from course.harness.problems import field_errors, reason
from course.harness.raw_http import chunk, send_raw
from course.harness.waiting import in_parallel
from tests.stage05.jobs import (
    FAR_AWAY,
    FIELDS,
    LONG,
    RESULT_FIELDS,
    ask,
    ended,
    has_status,
    listed,
    moment,
    read,
    submit,
    submit_file,
    succeeded,
    upload,
)

ROUNDS = 5
SERVED_WITHIN = 1.0  # seconds; a job that runs in the event loop takes longer


@pytest.mark.requirement("5.2")
@pytest.mark.contract("J11", "E27")
def test_other_requests_are_served_while_a_job_runs(api: Api) -> None:
    """This test comes first: if it fails, running jobs would delay every other test."""
    ended, slowest = threading.Event(), 0.0

    def run_a_job() -> None:
        try:
            path = f"/jobs/{submit(api, 'Hello world. ' * 1000)['id']}"
            while api.request("GET", path).json()["status"] in ("queued", "running"):
                pass
        finally:
            ended.set()

    running = threading.Thread(target=run_a_job)
    running.start()
    while not ended.is_set():
        asked = time.monotonic()
        assert api.request("GET", "/jobs").status_code == 200
        slowest = max(slowest, time.monotonic() - asked)
    running.join()
    assert slowest < SERVED_WITHIN


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J1", "J3", "E24")
def test_a_text_gets_202_at_once_with_the_location_of_its_job(api: Api) -> None:
    answer = ask(api, text="Hello world.")
    job = answer.json()
    assert answer.status_code == 202
    assert set(job) == FIELDS
    assert str(uuid.UUID(job["id"])) == job["id"]
    assert job["status"] in ("queued", "running", "succeeded")
    assert job["run_at"] is None or moment(job["run_at"]) <= datetime.now(UTC)
    location = urljoin(str(answer.url), answer.headers["location"])
    assert api.request("GET", location).json()["id"] == job["id"]
    ended(api, job["id"])


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J1", "J3", "E2")
def test_a_waiting_job_has_no_result(api: Api) -> None:
    job = submit(api, run_at=FAR_AWAY)
    assert job["status"] == "scheduled"
    assert (job["progress"], job["attempts"]) == (0, 0)
    assert moment(job["run_at"]) == moment("2099-01-01T00:00:00+00:00")
    for field in ("started_at", "finished_at", "result", "error"):
        assert job[field] is None, field
    assert read(api, job["id"]) == job
    assert api.request("DELETE", f"/jobs/{job['id']}").status_code == 200


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J1", "J2", "E2")
def test_a_succeeded_job_has_all_its_fields(api: Api) -> None:
    job = succeeded(api, submit(api)["id"])
    assert set(job) == FIELDS
    assert (job["progress"], job["attempts"], job["error"]) == (100, 1, None)
    assert moment(job["created_at"]) <= moment(job["started_at"]) <= moment(job["finished_at"])
    assert set(job["result"]) == RESULT_FIELDS
    assert all(set(top) == {"word", "count"} for top in job["result"]["top_words"])
    assert read(api, job["id"]) == job  # the job does not change any more


@pytest.mark.requirement("5.6")
@pytest.mark.own_stage("app/jobs/")
@pytest.mark.contract("J1", "J7")
def test_a_running_job_cannot_be_cancelled(api: Api) -> None:
    job_id = submit_file(api, LONG)["id"]
    seen = has_status(api, job_id, "running", "succeeded")
    assert 0 <= seen["progress"] <= 100
    assert seen["attempts"] == 1
    assert seen["started_at"] is not None
    refused = api.request("DELETE", f"/jobs/{job_id}")
    assert refused.status_code == 409
    assert isinstance(refused.json()["detail"], str)
    succeeded(api, job_id)


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J1", "J5")
def test_a_status_is_one_of_six_values(api: Api) -> None:
    job = submit(api)
    seen = [job["status"]]
    while seen[-1] in ("queued", "running"):
        seen.append(read(api, job["id"])["status"])
    assert set(seen) <= {"queued", "running", "succeeded"}
    assert [job["status"] for job in listed(api)] == ["succeeded"]


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J7")
def test_an_ended_job_cannot_be_cancelled(api: Api) -> None:
    job = succeeded(api, submit(api)["id"])
    assert api.request("DELETE", f"/jobs/{job['id']}").status_code == 409
    assert read(api, job["id"]) == job


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J7")
def test_a_scheduled_job_can_be_cancelled_once(api: Api) -> None:
    job_id = submit(api, run_at=FAR_AWAY)["id"]
    answer = api.request("DELETE", f"/jobs/{job_id}")
    cancelled = answer.json()
    assert answer.status_code == 200
    assert set(cancelled) == FIELDS
    assert (cancelled["id"], cancelled["status"]) == (job_id, "cancelled")
    assert (cancelled["started_at"], cancelled["attempts"]) == (None, 0)
    if cancelled["finished_at"] is not None:
        assert moment(cancelled["finished_at"]) >= moment(cancelled["created_at"])
    assert read(api, job_id) == cancelled
    # The second answer may be 200, as the job already has the status that the client wants.
    assert api.request("DELETE", f"/jobs/{job_id}").status_code in (200, 409)
    assert read(api, job_id)["status"] == "cancelled"


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J7", "J11")
@pytest.mark.slow
def test_a_cancelled_queued_job_never_runs(api: Api) -> None:
    for _ in range(ROUNDS):
        *others, last = [submit_file(api, LONG)["id"] for _ in range(4)]
        answer = api.request("DELETE", f"/jobs/{last}")
        for other in others:
            succeeded(api, other)
        if answer.status_code == 200:
            break
    else:
        pytest.skip("not checked: this server never lets a job wait")
    assert answer.json()["status"] == "cancelled"
    # A worker had time to run the job, because a job that was submitted later has ended.
    succeeded(api, submit(api)["id"])
    cancelled = read(api, last)
    assert cancelled["status"] == "cancelled"
    assert (cancelled["attempts"], cancelled["result"]) == (0, None)


@pytest.mark.requirement("5.6")
@pytest.mark.craft
def test_ten_concurrent_cancellations_get_one_200_and_nine_409(api: Api) -> None:
    job_id = submit(api, run_at=FAR_AWAY)["id"]
    answers = in_parallel(10, lambda _: api.request("DELETE", f"/jobs/{job_id}").status_code)
    assert sorted(answers.results) == [200] + [409] * 9


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J5", "E21")
def test_the_pages_of_the_list_have_a_stable_order(api: Api) -> None:
    jobs = [submit(api, run_at=FAR_AWAY)["id"] for _ in range(5)]
    whole = [job["id"] for job in listed(api)]
    assert sorted(whole) == sorted(jobs)
    pages = [listed(api, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [job["id"] for page in pages for job in page] == whole
    for job_id in jobs:
        api.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("5.6")
@pytest.mark.craft
def test_the_pages_of_the_list_start_with_the_newest_job(api: Api) -> None:
    jobs = [submit(api, run_at=FAR_AWAY)["id"] for _ in range(5)]
    newest_first = jobs[::-1]
    assert [job["id"] for job in listed(api)] == newest_first
    pages = [listed(api, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [job["id"] for page in pages for job in page] == newest_first
    assert listed(api)[0] == read(api, newest_first[0])
    for job_id in jobs:
        api.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J5", "E21")
def test_a_page_has_20_jobs_by_default(api: Api) -> None:
    jobs = [submit(api, run_at=FAR_AWAY)["id"] for _ in range(21)]
    assert len(listed(api)) == 20
    assert len(listed(api, limit=100)) == 21
    for job_id in jobs:
        api.request("DELETE", f"/jobs/{job_id}")


@pytest.mark.requirement("5.6")
@pytest.mark.contract("J5")
def test_the_list_can_be_filtered_by_status(api: Api) -> None:
    done = succeeded(api, submit(api)["id"])["id"]
    waits = submit(api, run_at=FAR_AWAY)["id"]
    cancelled = submit(api, run_at=FAR_AWAY)["id"]
    api.request("DELETE", f"/jobs/{cancelled}")
    expected = {"succeeded": [done], "scheduled": [waits], "cancelled": [cancelled]}
    for status in ("scheduled", "queued", "running", "succeeded", "failed", "cancelled"):
        found = [job["id"] for job in listed(api, status=status)]
        assert found == expected.get(status, []), status
    api.request("DELETE", f"/jobs/{waits}")


@pytest.mark.requirement("5.6")
@pytest.mark.contract("E4", "E21", "J5")
@pytest.mark.parametrize(
    "query",
    variants(
        ["status=done", "status=", "limit=0", "limit=101", "limit=x", "offset=-1", "offset=1e3"],
        craft=["status=", "offset=1e3"],
    ),
)
def test_an_invalid_query_gets_422(api: Api, query: str) -> None:
    answer = api.request("GET", f"/jobs?{query}")
    assert answer.status_code == 422
    assert field_errors(answer)


@pytest.mark.requirement("5.1")
@pytest.mark.contract("E4", "J3")
@pytest.mark.parametrize(
    "fields",
    variants(
        [
            {},
            {"text": ""},
            {"text": " \n\t\u00a0\u2003"},
            {"text": None},
            {"text": 5},
            {"text": ["Hello"]},
            {"text": "a\0b"},
            {"text": "half of a pair: \ud800"},
            {"txt": "Hello"},
        ],
        craft=[
            {"text": " \n\t\u00a0\u2003"},
            {"text": "a\0b"},
            {"text": "half of a pair: \ud800"},
        ],
    ),
)
def test_an_invalid_text_gets_422(api: Api, fields: dict[str, Any]) -> None:
    answer = api.request("POST", "/jobs", content=json.dumps(fields).encode("ascii"))
    assert answer.status_code == 422
    assert field_errors(answer)
    assert listed(api) == []


def body_of(size: int) -> bytes:
    """Return a JSON body of `size` bytes that submits a job."""
    start, end = b'{"text":"', b' end."}'
    return start + b"word " * ((size - len(start) - len(end)) // 5) + end


@pytest.mark.requirement("5.1")
@pytest.mark.own_stage("app/jobs/")
@pytest.mark.contract("J2", "J3")
def test_a_text_of_a_little_under_one_mib_is_analysed(api: Api) -> None:
    body = body_of(MIB - 10)
    answer = api.request("POST", "/jobs", content=body)
    assert answer.status_code == 202
    result = succeeded(api, answer.json()["id"])["result"]
    assert result["words"] == (len(body) - 16) // 5 + 1
    assert result["characters"] == len(body) - len(b'{"text":""}')


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J3", "E22")
def test_a_body_over_one_mib_gets_413(api: Api) -> None:
    answer = api.request("POST", "/jobs", content=body_of(MIB + 10))
    assert answer.status_code == 413
    assert listed(api) == []


@pytest.mark.requirement("5.1")
@pytest.mark.contract("J3", "E22")
def test_a_chunked_body_over_one_mib_gets_413(api: Api) -> None:
    body = body_of(MIB + 100_000)
    pieces = [chunk(body[start : start + 65_536]) for start in range(0, len(body), 65_536)]
    headers = {"Authorization": f"Bearer {api.token}", "Transfer-Encoding": "chunked"}
    answer = send_raw(api.server, "POST", "/jobs", [*pieces, chunk(b"")], headers=headers)
    assert answer.status == 413
    assert listed(api) == []


@pytest.mark.requirement("5.1")
@pytest.mark.craft("E23")
def test_a_413_has_a_reason_in_json(api: Api) -> None:
    assert reason(api.request("POST", "/jobs", content=body_of(MIB + 10)))


OPERATIONS = [
    ("GET", ""),
    ("GET", "/report"),
    ("DELETE", ""),
]


@pytest.mark.requirement("5.3", "5.6")
@pytest.mark.contract("E17", "J5", "J6", "J7")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.users
def test_the_job_of_another_user_gets_404(api: Api, method: str, path: str) -> None:
    other = api.as_new_user()
    done, waits = succeeded(api, submit(api)["id"]), submit(api, run_at=FAR_AWAY)
    for job in (done, waits):
        answer = other.request(method, f"/jobs/{job['id']}{path}")
        assert answer.status_code == 404
        assert isinstance(answer.json()["detail"], str)
        assert read(api, job["id"]) == job
    assert listed(other) == []
    api.request("DELETE", f"/jobs/{waits['id']}")


@pytest.mark.requirement("5.3", "5.6")
@pytest.mark.contract("E3", "J5", "J6", "J7")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_unknown_job_gets_404_and_an_impossible_id_404_or_422(
    api: Api, method: str, path: str
) -> None:
    assert api.request(method, f"/jobs/{uuid.uuid4()}{path}").status_code == 404
    for impossible in ("1", "no-uuid", "9" * 40):
        answer = api.request(method, f"/jobs/{impossible}{path}")
        assert answer.status_code in (404, 422), impossible


@pytest.mark.requirement("5.3", "5.6")
@pytest.mark.craft("E7")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_nul_as_an_id_gets_404_or_422(api: Api, method: str, path: str) -> None:
    assert api.request(method, f"/jobs/%00{path}").status_code in (404, 422)


@pytest.mark.requirement("5.1", "5.6")
@pytest.mark.contract("E16", "E18")
@pytest.mark.users
def test_every_operation_without_a_token_gets_401(api: Api) -> None:
    job = submit(api, run_at=FAR_AWAY)
    for visitor in (api.with_token(None), api.with_token("no.valid.token")):
        answers = [ask(visitor, text="Hello"), upload(visitor, b"Hello")]
        answers += [visitor.request("GET", "/jobs")]
        answers += [
            visitor.request(method, f"/jobs/{job['id']}{path}") for method, path in OPERATIONS
        ]
        for answer in answers:
            assert answer.status_code == 401, answer.url
            assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert read(api, job["id"]) == job
    api.request("DELETE", f"/jobs/{job['id']}")


@pytest.mark.requirement("5.1")
@pytest.mark.own_stage("app/jobs/")
@pytest.mark.craft("E20")
@pytest.mark.queue("local")
def test_the_number_of_waiting_jobs_of_a_user_is_limited(launch: Launch) -> None:
    most = 3
    with Api(launch(MAX_WAITING_JOBS_PER_USER=str(most))) as visitor:
        user, other = visitor.as_new_user(), visitor.as_new_user()
        waiting = [submit(user, run_at=FAR_AWAY) for _ in range(most)]
        for refused in (
            ask(user, text="One more", run_at=FAR_AWAY),
            ask(user, text="One more"),
            upload(user, b"One more"),
        ):
            assert refused.status_code == 429
            assert str(most) in reason(refused)
        assert len(listed(user)) == most
        succeeded(other, submit(other)["id"])  # each user has their own limit
        assert user.request("DELETE", f"/jobs/{waiting[0]['id']}").status_code == 200
        succeeded(user, submit(user)["id"])
        succeeded(user, submit(user)["id"])  # the ended job does not count


@pytest.mark.requirement("5.6")
@pytest.mark.own_stage("app/jobs/")
@pytest.mark.craft
def test_concurrent_cancellations_succeed_exactly_once(api: Api) -> None:
    for _ in range(ROUNDS):
        path = f"/jobs/{submit(api, run_at=FAR_AWAY)['id']}"

        def cancel(_: int, path: str = path) -> int:
            return api.request("DELETE", path).status_code

        answers = in_parallel(6, cancel)
        assert not answers.errors
        assert sorted(answers.results) == [200] + [409] * 5
