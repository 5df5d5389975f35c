"""A pytest plugin that prints the kind and the cited sentences of each collected test.

    pytest --collect-only -p tools.tests.grade.kinds_of_tests tests/stage01

One line of JSON a test, after `KIND `.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from course.catalog.stages import load_course
from course.harness.contract import MarkerError, kind_of

START = "KIND "
LAST = load_course()[-1].number


def pytest_itemcollected(item: pytest.Item) -> None:
    """Print the line of a test, also of one that the stage under test leaves out."""
    line: dict[str, Any] = {"test": item.nodeid, "problem": "", "is_craft": False, "cites": []}
    try:
        kind = kind_of(item, stage=LAST)
    except MarkerError as error:
        line["problem"] = str(error)
    else:
        line |= {"is_craft": kind.is_craft, "cites": kind.cites}
    print(f"\n{START}{json.dumps(line)}")


def read(printed: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run of pytest."""
    for line in printed.splitlines():
        if line.startswith(START):
            yield json.loads(line.removeprefix(START))
