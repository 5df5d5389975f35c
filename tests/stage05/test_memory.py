"""Requirement 5.1: many large texts at the same time need little memory.

Run with `-rP` (or open the JUnit report) to see the figures.
"""

import sys

import pytest

from course.harness.driver import Api
from course.harness.memory import MIB, memory_of
from course.harness.plugin import Launch
from course.harness.waiting import in_parallel
from tests.stage05.jobs import MAX_FILE_SIZE, seconds_from_now, submit_file, upload

pytestmark = pytest.mark.craft

AT_ONCE = 20
MEMORY_BOUND = 320 * MIB
# One character needs four bytes, so Python stores every character in four bytes: 20 MiB.
WIDE = b"a " * (MAX_FILE_SIZE // 2 - 2) + "\N{GRINNING FACE}".encode()


@pytest.mark.requirement("5.1")
@pytest.mark.own_stage
@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
def test_twenty_concurrent_texts_of_5_mib_are_not_all_in_memory(launch: Launch) -> None:
    server, later = launch(), seconds_from_now(3600)
    with Api(server) as visitor:
        api = visitor.as_new_user()
        submit_file(api, b"what is loaded only once is loaded now", run_at=later)
        before = memory_of(server.pid)["VmRSS"]
        answers = in_parallel(AT_ONCE, lambda _: upload(api, WIDE, run_at=later).status_code)
        growth = memory_of(server.pid)["VmHWM"] - before
    print(f"{AT_ONCE} texts of 5 MiB at once: memory grows by {growth / MIB:.0f} MiB")
    assert answers.results == [202] * AT_ONCE
    assert growth < MEMORY_BOUND
