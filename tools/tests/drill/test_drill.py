"""The drills' checker finds lost and doubled texts (a real drill: `test_stack.py`)."""

from __future__ import annotations

from tools.drill.record import CHAT, JOB, WRITE, Difference, Record, compare
from tools.drill.report import Result, as_markdown, as_text


def test_an_acknowledged_text_that_is_missing_is_lost() -> None:
    assert compare("todo", ["a", "b"], ["b"]) == Difference(["todo: a"], [])


def test_a_text_that_exists_twice_is_doubled_also_without_an_answer() -> None:
    assert compare("todo", ["a"], ["a", "a", "b", "b"]) == Difference([], ["todo: a", "todo: b"])


def test_a_text_that_exists_without_an_answer_is_right() -> None:
    assert not compare("todo", ["a"], ["a", "b"])


def test_an_outage_lasts_from_one_good_answer_to_the_next() -> None:
    record = Record(began=100.0, ended=110.0)
    record.good_at[WRITE] = [101.0, 108.0, 103.0, 115.0]
    assert record.longest_outage(WRITE) == 5.0
    assert record.longest_outage(CHAT) == 10.0


def test_the_table_shows_broken_promises() -> None:
    record = Record(began=100.0, ended=110.0)
    record.error(JOB, "503")
    result = Result(3, "a title", record, "a note", Difference(["todo: a"], ["todo: b", "todo: c"]))
    assert "| 1 | 2 | 1 × job 503; a note |" in as_markdown([result])
    assert "1 × job 503; a note" in as_text([result])
    assert result.as_json()["doubled"] == ["todo: b", "todo: c"]
