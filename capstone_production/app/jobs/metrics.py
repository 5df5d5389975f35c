"""Counters of jobs, in each process that runs them."""

from prometheus_client import Counter, Histogram

JOB_DURATION = Histogram(
    "job_duration_seconds",
    "How long a job that succeeded took, from its claim to its result",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
JOBS_FINISHED = Counter("jobs_finished", "Jobs that came to an end", ["status"])
