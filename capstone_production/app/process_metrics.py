"""Metrics of several processes in one answer.

`PROMETHEUS_MULTIPROC_DIR` is a directory that the processes of one container share, empty at the
start. prometheus_client stores the counts of each process in a file there, and adds them up.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

MULTIPROC_DIR = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
LIVE_GAUGES = re.compile(r"gauge_live[a-z]+_(\d+)\.db")


def forget_dead_processes() -> None:
    """Remove the gauges of processes that have ended. Their counters stay."""
    if not MULTIPROC_DIR:
        return
    found = [LIVE_GAUGES.fullmatch(path.name) for path in Path(MULTIPROC_DIR).iterdir()]
    for process_id in {int(match[1]) for match in found if match}:
        if not is_alive(process_id):
            mark_process_dead(process_id)


def is_alive(process_id: int) -> bool:
    """Return whether a process with this id runs."""
    try:
        os.kill(process_id, 0)  # only checks, and sends no signal
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class AllProcesses(Collector):
    """The metrics of all processes that share the directory."""

    def collect(self) -> Iterable[Metric]:
        """Return the present metrics."""
        forget_dead_processes()
        metrics: Iterable[Metric] = MultiProcessCollector(None).collect()
        return metrics
