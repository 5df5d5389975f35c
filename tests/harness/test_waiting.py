"""Waiting ends at its deadline and says why; calls at once are really at once."""

import threading

import pytest

from tests.harness.waiting import eventually, in_parallel


def test_eventually_returns_the_first_true_result() -> None:
    results = iter([0, None, "there", "later"])
    assert eventually(lambda: next(results)) == "there"


def test_eventually_takes_a_failed_assertion_for_not_yet() -> None:
    tries = iter([False, False, True])

    def check() -> bool:
        assert next(tries)
        return True

    assert eventually(check)


def test_eventually_raises_the_last_failure_at_the_deadline() -> None:
    def check() -> None:
        raise AssertionError("the queue is not empty")

    with pytest.raises(AssertionError, match="the queue is not empty"):
        eventually(check, within=0.05)
    with pytest.raises(AssertionError, match=r"still 0 after 0\.05 s"):
        eventually(lambda: 0, within=0.05)


def test_eventually_lets_other_errors_through_at_once() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        eventually(lambda: int("x"), within=60)


def test_parallel_calls_are_all_there_at_the_same_time() -> None:
    everybody = threading.Barrier(20, timeout=10)  # breaks if a call waits for another to end
    outcomes = in_parallel(20, lambda number: (everybody.wait(), number)[1])
    assert outcomes.results == list(range(20))
    assert outcomes.errors == []


def test_an_error_of_one_call_does_not_hide_the_others() -> None:
    outcomes = in_parallel(4, lambda number: 6 // number)
    assert outcomes.results == [6, 3, 2]
    assert [type(error) for error in outcomes.errors] == [ZeroDivisionError]
