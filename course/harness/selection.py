"""Selects the tests: a stage's own suite, and earlier suites completely or in part.

    pytest --stage 4                       stage 4's own suite whole, of stages 1 to 3 a selection
    pytest --stage 4 --inherited full      the suites of stages 1 to 4, whole

The quick selection holds one variant of each earlier test, and all variants of a test that shows a
requirement of the stage. It leaves out the tests that are marked `slow`, `alone` or `own_stage`,
and browser tests of pages that the stage under test does not change. A mark
`own_stage("app/jobs/")` names the code that the test is about: a later stage that adds or changes a
file there runs the test. Tests that are marked `nightly` run only with `full`.

With `pytest -n N` each file of tests goes to one worker, the slowest files first; with
`--dist=loadgroup` each test goes to any worker, the slowest tests first. Tests that are
marked `alone` measure time or memory: `-m "not alone"` leaves them for a run of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import pytest

from course.catalog.stages import Stage, load_course

T = TypeVar("T")
QUICK, FULL = "quick", "full"

# A test with one of these fixtures starts its own processes.
_STARTS_PROCESSES = {
    "launch",
    "launch_for_module",
    "launch_for_session",
    "restartable",
    "own_postgres",
    "postgres_url",
}
_BROWSER = "browser_context"
# The rough cost of a test, relative to one that only sends requests.
_COST = {"browser": 8, "processes": 15, "slow": 30}
_TIMEOUT_OF_ONE_COST = 10  # seconds


MARKERS = (
    "slow: takes seconds; the quick selection leaves it to the stage that it belongs to.",
    "own_stage(*paths): is expensive; a later stage runs it only if it changes a file in `paths`.",
    "nightly: takes minutes and runs only in a full run; the default run has similar tests.",
    "alone: measures time or memory, so no other test runs beside it.",
    "every_variant: a quick grade takes all variants at the stages whose rows name the test.",
    "page(directory): tests a page whose files are in that directory of the stage.",
)


def quick_selection(items: Sequence[pytest.Item], stage: Stage) -> list[pytest.Item]:
    """Return the items without the tests of earlier suites that the quick selection skips."""
    earlier = {other.name for other in load_course() if other.number < stage.number}
    groups: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.path.parent.name in earlier:
            groups[item.nodeid.partition("[")[0]].append(item)
    # The first in the order of the source, since the order of the items may be random.
    kept = {id(min(group, key=_number_of_variant)) for group in groups.values()}
    return [
        item
        for item in items
        if not item.get_closest_marker("nightly")
        and (
            item.path.parent.name not in earlier
            or _shows_a_row_of(item, stage)
            or (
                id(item) in kept
                and not takes_long(item)
                and not _is_left_to_its_own_stage(item, stage)
                and not _is_of_unchanged_page(item, stage)
            )
        )
    ]


def _shows_a_row_of(item: pytest.Item, stage: Stage) -> bool:
    """Return whether a test of an earlier suite shows a requirement of this stage, such as 2.6."""
    rows = [row for mark in item.iter_markers("requirement") for row in mark.args]
    return not takes_long(item) and any(row.startswith(f"{stage.number}.") for row in rows)


def takes_long(item: pytest.Item) -> bool:
    """Return whether the test is marked `slow` or `alone`."""
    return any(item.get_closest_marker(name) for name in ("slow", "alone"))


def opens_a_browser(item: pytest.Item) -> bool:
    """Return whether the test opens pages in a browser."""
    return _BROWSER in getattr(item, "fixturenames", ())


def spread(group: Sequence[T], most: int) -> Sequence[T]:
    """Return up to `most` of a group, such as the variants of a test, evenly spread (0: all)."""
    if most <= 0 or len(group) <= most:
        return group
    if most == 1:
        return group[:1]
    step = (len(group) - 1) / (most - 1)
    return [group[round(number * step)] for number in range(most)]


def longest_file_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the items file by file, the file with the most expensive tests first.

    The workers of `pytest-xdist` take files in this order. Every worker computes the same order:
    it depends on the items only.
    """
    in_order = list(items)
    cost = Counter[str]()
    for item in in_order:
        cost[str(item.path)] += _cost(item)
    return sorted(in_order, key=lambda item: (-cost[str(item.path)], str(item.path)))


def scope_of(test: str) -> str:
    """Return the unit that one worker gets: the class of a test, or the test itself."""
    name, bracket, variant = test.partition("[")
    owner, _, _ = name.rpartition("::")
    return owner if "::" in owner else f"{name}{bracket}{variant}"


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the items with the most expensive scope first; those of one file stay close.

    For workers that share the files: a test that takes a minute and begins last keeps one of them
    busy while the others have nothing left to do.
    """
    in_order = list(items)
    cost = Counter[str]()
    for item in in_order:
        cost[scope_of(item.nodeid)] += _cost(item)
    return sorted(in_order, key=lambda item: (-cost[scope_of(item.nodeid)], str(item.path)))


def _number_of_variant(item: pytest.Item) -> tuple[int, ...]:
    callspec = getattr(item, "callspec", None)
    return tuple(callspec.indices.values()) if callspec else ()


def _cost(item: pytest.Item) -> int:
    if takes_long(item):
        # A test that may take long gets a longer time limit.
        timeout = item.get_closest_marker("timeout")
        seconds = timeout.args[0] if timeout and timeout.args else 0
        return max(_COST["slow"], int(seconds / _TIMEOUT_OF_ONE_COST))
    if not _STARTS_PROCESSES.isdisjoint(getattr(item, "fixturenames", ())):
        return _COST["processes"]
    return _COST["browser"] if opens_a_browser(item) else 1


def _is_of_unchanged_page(item: pytest.Item, stage: Stage) -> bool:
    if not opens_a_browser(item):
        return False
    page = item.get_closest_marker("page")
    if page is None:
        return True
    return not _changes(stage, f"{page.args[0]}/")


def _is_left_to_its_own_stage(item: pytest.Item, stage: Stage) -> bool:
    mark = item.get_closest_marker("own_stage")
    return mark is not None and not _changes(stage, *mark.args)


def _changes(stage: Stage, *beginnings: str) -> bool:
    """Return whether the stage adds, changes or removes a file with such a prefix in its path."""
    return any(path.startswith(beginnings) for path in stage.adds + stage.changes + stage.removes)
