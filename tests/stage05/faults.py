"""Faults of a server that runs jobs itself, and the state of the jobs after each fault."""

from __future__ import annotations

import time
from typing import Any

from course.harness.driver import Api
from course.harness.ledger import Ledger, lease_of
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.jobs import (
    FAR_AWAY,
    LONG,
    ended,
    has_status,
    read,
    seconds_from_now,
    submit,
    submit_file,
    succeeded,
)

Evidence = dict[str, Any]
LONGEST_LEASE = 45.0  # seconds; a job whose worker died must run again by then


def killed_in_mid_job(server: LaunchedServer, api: Api) -> Evidence:
    """Kill the server with jobs running, queued and scheduled, and start it again."""
    ledger = Ledger(server.database)
    long = [submit_file(api, LONG)["id"] for _ in range(3)]
    small = [submit(api, f"Small {number}.")["id"] for number in range(5)]
    later = submit(api, run_at=seconds_from_now(3))["id"]
    never = submit(api, run_at=FAR_AWAY)["id"]
    eventually(lambda: any(ledger.status(job_id) == "running" for job_id in long), within=30)
    server.kill()
    statuses = {job_id: ledger.status(job_id) for job_id in [*long, *small, later]}
    leases = [lease_of(server.database, job_id) for job_id in long]
    server.start()
    jobs = {job_id: ended(api, job_id, within=LONGEST_LEASE * 2) for job_id in statuses}
    waits = read(api, never)
    return {
        "ledger": ledger,
        "statuses": statuses,
        "leases": [lease for lease in leases if lease],
        "jobs": jobs,
        "waits": waits,
        "later": later,
    }


def stopped_in_mid_job(server: LaunchedServer, api: Api) -> Evidence:
    """Stop the server with SIGTERM while a job runs, and start it again."""
    ledger = Ledger(server.database)
    done = succeeded(api, submit(api)["id"])
    job_id = submit_file(api, LONG)["id"]
    eventually(lambda: ledger.status(job_id) == "running", within=30)
    began = time.monotonic()
    exit_code = server.stop(within=30)
    took, status = time.monotonic() - began, ledger.status(job_id)
    server.start()
    job = succeeded(api, job_id)
    return {
        "ledger": ledger,
        "job": job,
        "done": (done, read(api, done["id"])),
        "exit_code": exit_code,
        "took": took,
        "status": status,
        "log": server.log_text(),
    }


def fails_every_time(server: LaunchedServer, api: Api) -> Evidence:
    """Run a job whose text cannot be read, and then a valid one."""
    ledger = Ledger(server.database)
    job_id = submit(api, "secret", run_at=seconds_from_now(2))["id"]
    ledger.damage(job_id)
    tried_once = has_status(api, job_id, "queued", "scheduled", "failed", "running")
    other = succeeded(api, submit(api)["id"])
    job = ended(api, job_id)
    report = api.request("GET", f"/jobs/{job_id}/report").status_code
    return {
        "ledger": ledger,
        "job": job,
        "other": other,
        "tried_once": tried_once,
        "report": report,
        "cancel": api.request("DELETE", f"/jobs/{job_id}").status_code,
    }


def killed_in_the_last_attempt(server: LaunchedServer, api: Api) -> Evidence:
    """Kill the server during the last attempt of a job, like a text that crashes the process."""
    ledger = Ledger(server.database)
    job_id = submit_file(api, LONG, run_at=seconds_from_now(2))["id"]
    ledger.use_attempts_up(job_id)
    eventually(lambda: ledger.status(job_id) == "running", within=30)
    server.kill()
    status = ledger.status(job_id)
    server.start()
    return {"ledger": ledger, "status": status, "job": ended(api, job_id, within=LONGEST_LEASE)}


def stopped_after_the_job_was_taken_over(server: LaunchedServer, api: Api) -> Evidence:
    """Stop the server after another worker has taken over its job."""
    ledger = Ledger(server.database)
    job_id = submit_file(api, LONG)["id"]
    eventually(lambda: ledger.status(job_id) == "running", within=30)
    ledger.take_over(job_id)
    server.stop(within=30)
    return {"status": ledger.status(job_id), "log": server.log_text()}


FAULTS = (
    killed_in_mid_job,
    stopped_in_mid_job,
    fails_every_time,
    killed_in_the_last_attempt,
    stopped_after_the_job_was_taken_over,
)
