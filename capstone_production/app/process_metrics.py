"""Metrics of several processes in one answer.

With `PROMETHEUS_MULTIPROC_DIR`, a directory that the processes of one container share and that is
empty at first, prometheus_client keeps what each process counts in a file there, and adds them up.
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
    """Take away the states of processes that are gone. Their counts stay."""
    if not MULTIPROC_DIR:
        return
    found = [LIVE_GAUGES.fullmatch(path.name) for path in Path(MULTIPROC_DIR).iterdir()]
    for process_id in {int(match[1]) for match in found if match}:
        if not is_alive(process_id):
            mark_process_dead(process_id)


def is_alive(process_id: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(process_id, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class AllProcesses(Collector):
    """The metrics of all processes that share the directory."""

    def collect(self) -> Iterable[Metric]:
        """Return them as they are now."""
        forget_dead_processes()
        metrics: Iterable[Metric] = MultiProcessCollector(None).collect()
        return metrics
