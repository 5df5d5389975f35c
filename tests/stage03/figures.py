"""Measures how fast the list of todos is while the server does other work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles

from course.harness.driver import Api

IDLE_SAMPLES = 100


@dataclass(frozen=True)
class Figures:
    """Durations of `GET /todos` in milliseconds: alone, and during other work."""

    idle_p95: float
    busy_p95: float
    busy_worst: float
    busy_samples: int

    def record(self, name: str, record_property: Callable[[str, object], None]) -> None:
        """Add the figures to the report of the test, and print them."""
        for figure, value in vars(self).items():
            record_property(f"{name}_{figure}", value)
        print(f"GET /todos during {name}: {self}")


def measure_the_list(api: Api, work: Callable[[], object]) -> Figures:
    """Time the list alone, then repeatedly until `work`, in another thread, has ended."""
    idle = [_time_once(api) for _ in range(IDLE_SAMPLES)]
    worker = threading.Thread(target=work)
    worker.start()
    busy = [_time_once(api)]
    while worker.is_alive():
        busy.append(_time_once(api))
    return Figures(_p95(idle), _p95(busy), round(max(busy), 1), len(busy))


def _time_once(api: Api) -> float:
    asked = time.monotonic()
    assert api.request("GET", "/todos").status_code == 200
    return (time.monotonic() - asked) * 1000


def _p95(samples: list[float]) -> float:
    return round(quantiles([*samples, *samples], n=20)[-1], 1)
