"""The recorded session of stage 3 is what a learner sees today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, load_course
from course.harness.lesson import read
from tools.learn.parts import rows_in_order
from tools.learn.record import NUMBER, PLACE, RECORD, play, without_times, written

ROUTES = ("/auth/", "/users/", "/todos/")  # of the app; other paths would be this machine's
ROWS = rows_in_order(load_course()[NUMBER - 1])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_the_session_is_played_again_and_differs_only_in_its_times(tmp_path: Path) -> None:
    again = written(play(tmp_path / "my-stage3"))
    assert without_times(again) == without_times(read(RECORD))


def test_the_record_goes_from_nothing_to_all_rows() -> None:
    record = read(RECORD)
    lines = [line[9:] for line in record.splitlines()[2:]]
    assert lines[0] == "> python3 noxfile.py learn 3"
    assert f"Making {PLACE} …" in lines
    passed = {line.split()[1] for line in lines if line.startswith("✓ ")}
    assert passed == set(ROWS)
    assert lines[-1] == "All rows of stage 3 pass. Next: python3 noxfile.py learn 4"


def test_the_record_shows_a_failure_with_its_line_and_a_hint_before_the_row_passes() -> None:
    record = read(RECORD)
    order = [
        r"✗ 3\.1 does not pass",
        "  expected: 409",
        "  got: 500",
        "  exception: ",
        r" app/auth/service\.py:\d+",
        "> hint",
        "hint 1/",
        r"> saves app/auth/service\.py: AuthService\.register\n",
        r"✓ 3\.1 passes",
    ]
    assert re.search(".*".join(order), record, re.DOTALL)


def test_each_line_has_its_time_and_no_line_names_this_machine() -> None:
    record = read(RECORD)
    times = [float(line[:7]) for line in record.splitlines()[2:]]
    assert times == sorted(times)
    paths = re.findall(r"(?<![\w.])/\w+/\w+", record)
    assert all(path.startswith(ROUTES) for path in paths), paths
    assert not re.search(r"127\.0\.0\.1:\d", record)
    assert str(ROOT) not in record
    assert "docs/learn-stage03.txt" in read(ROOT / "README.md")


def test_only_times_are_left_out_of_the_comparison() -> None:
    one = written([(0.0, "> a"), (1.5, "✓ 3.1 passes (0.5 s)")])
    other = written([(0.1, "> a"), (12.0, "✓ 3.1 passes (12.0 s)")])
    assert without_times(one) == without_times(other) == ["> a", "✓ 3.1 passes (… s)"]
    assert without_times(one) != without_times(written([(0.0, "> a"), (1.5, "✗ 3.1")]))
