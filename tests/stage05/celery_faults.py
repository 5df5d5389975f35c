"""Faults of Celery processes and of Redis, and the state of the jobs after each fault."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from course.harness.driver import Api
from course.harness.ledger import Ledger
from course.harness.waiting import eventually, in_parallel
from tests.stage05.cluster import Cluster
from tests.stage05.faults import LONGEST_LEASE, Evidence
from tests.stage05.jobs import (
    LONG,
    Job,
    Timer,
    ended,
    read,
    seconds_from_now,
    submit,
    submit_file,
)

JOBS = 20
PAUSE = 5.0  # seconds


def all_ended(api: Api, job_ids: Iterable[str]) -> list[Job]:
    """Wait for the end of every job and return them."""
    return [ended(api, job_id, within=LONGEST_LEASE * 2) for job_id in job_ids]


def is_running(ledger: Ledger, job_ids: Iterable[str]) -> bool:
    """Return whether at least one of the jobs is running."""
    return any(ledger.status(job_id) == "running" for job_id in job_ids)


def worker_processes_killed(cluster: Cluster) -> Evidence:
    """During jobs, kill first the child processes of a worker, then a whole worker."""
    api, ledger = cluster.start()
    cluster.worker.start()
    cluster.beat.start()
    first = [submit_file(api, LONG)["id"] for _ in range(2)]
    eventually(lambda: is_running(ledger, first), within=60)
    for child in cluster.worker.children():
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    killed_child = [job_id for job_id in first if ledger.status(job_id) == "running"]
    after_child = all_ended(api, first)
    alive = cluster.worker.exit_code is None

    second = [submit_file(api, LONG)["id"] for _ in range(2)]
    eventually(lambda: is_running(ledger, second), within=60)
    cluster.worker.kill()
    killed_worker = [job_id for job_id in second if ledger.status(job_id) == "running"]
    cluster.worker.start()
    return {
        "ledger": ledger,
        "killed_child": killed_child,
        "after_child": after_child,
        "alive": alive,
        "killed_worker": killed_worker,
        "after_worker": all_ended(api, second),
    }


def redis_restarted(cluster: Cluster) -> Evidence:
    """Restart Redis, which loses its data, while jobs wait; then stop Celery without Redis."""
    api, ledger = cluster.start()
    told = [submit(api, f"Before {number}.")["id"] for number in range(5)]
    waiting = cluster.redis.waiting()
    cluster.redis.stop()
    with Timer() as timer:
        untold = [submit(api, f"Without {number}.")["id"] for number in range(3)]
    crowd = in_parallel(12, lambda number: submit(api, f"Crowd {number}.")["id"])
    assert not crowd.errors
    cluster.redis.start()
    empty = cluster.redis.waiting()
    cluster.beat.start()
    cluster.worker.start()
    jobs = all_ended(api, [*told, *untold, *crowd.results])

    cluster.redis.kill()
    ends = {}
    for name, process in (("worker", cluster.worker), ("beat", cluster.beat)):
        with Timer() as stopping:
            exit_code = process.stop(within=60)
        ends[name] = (exit_code, stopping.seconds)
    return {
        "ledger": ledger,
        "waiting": waiting,
        "empty": empty,
        "each_took": timer.seconds / len(untold),
        "jobs": jobs,
        "ends": ends,
    }


def redis_killed_and_paused(cluster: Cluster) -> Evidence:
    """Kill Redis while a worker runs a job, start it again; then suspend it for a while."""
    api, ledger = cluster.start()
    cluster.worker.start()
    cluster.beat.start()
    large = submit_file(api, LONG)["id"]
    eventually(lambda: is_running(ledger, [large]), within=60)
    queued = [submit(api, f"Queued {number}.")["id"] for number in range(JOBS)]
    cluster.redis.kill()
    cluster.redis.start()
    after_kill = all_ended(api, [large, *queued])

    cluster.redis.pause()
    paused_at = time.monotonic()
    with Timer() as timer:
        asked = in_parallel(6, lambda number: submit(api, f"Paused {number}.")["id"])
    eventually(lambda: time.monotonic() > paused_at + PAUSE, within=PAUSE + 5)
    cluster.redis.resume()
    return {
        "ledger": ledger,
        "after_kill": after_kill,
        "asking_took": timer.seconds,
        "errors": asked.errors,
        "after_pause": all_ended(api, asked.results),
    }


def notified_twice(cluster: Cluster) -> Evidence:
    """Send two workers every message twice; then leave due jobs without beat."""
    api, ledger = cluster.start()
    job_ids = [submit(api, f"Twice {number}.")["id"] for number in range(JOBS)]
    waiting = cluster.redis.waiting()
    cluster.redis.double_every_message()
    doubled = cluster.redis.waiting()
    for worker in cluster.workers:
        worker.start()
    jobs = all_ended(api, job_ids)
    eventually(lambda: cluster.redis.waiting() == 0, within=60)  # the duplicates are read too

    due = submit(api, run_at=seconds_from_now(1))["id"]
    overdue = time.monotonic() + 3
    eventually(lambda: time.monotonic() > overdue)
    without_beat = read(api, due)
    cluster.beat.start()
    with_beat = all_ended(api, [due])
    # The server and the workers restart independently.
    cluster.server.restart()
    after = all_ended(api, [submit(api)["id"]])
    exit_codes = [process.stop(within=60) for process in (*cluster.workers, cluster.beat)]
    return {
        "ledger": ledger,
        "waiting": waiting,
        "doubled": doubled,
        "jobs": jobs,
        "without_beat": without_beat,
        "with_beat": with_beat,
        "after": after,
        "exit_codes": exit_codes,
        "logs": cluster.logs(),
        "secrets": [cluster.redis.password, cluster.server.settings["JWT_SECRET"], str(api.token)],
        "files": sorted(path.name for path in cluster.server.data_dir.rglob("*")),
    }


def long_queue_before_a_due_job(cluster: Cluster) -> Evidence:
    """Let a job become due while long jobs wait ahead of it for longer than a message may last."""
    api, ledger = cluster.start()
    many = [submit_file(api, LONG)["id"] for _ in range(JOBS)]
    later = submit(api, run_at=seconds_from_now(1))["id"]
    cluster.worker.start()
    cluster.beat.start()
    eventually(lambda: ledger.status(later) != "scheduled", within=120)
    return {"waiting": [job_id for job_id in many if ledger.status(job_id) == "queued"]}


CELERY_FAULTS = (
    worker_processes_killed,
    redis_restarted,
    redis_killed_and_paused,
    notified_twice,
    long_queue_before_a_due_job,
)
