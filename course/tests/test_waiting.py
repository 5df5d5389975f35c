"""Waiting ends at its deadline with the reason, and parallel calls really run in parallel."""

import threading
import time

import pytest

from course.harness.waiting import eventually, held_up, in_parallel


def test_eventually_returns_the_first_true_result() -> None:
    results = iter([0, None, "there", "later"])
    assert eventually(lambda: next(results)) == "there"


def test_eventually_repeats_after_a_failed_assertion() -> None:
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


def test_parallel_calls_run_at_the_same_time() -> None:
    everybody = threading.Barrier(20, timeout=10)  # breaks if a call waits for another to end
    outcomes = in_parallel(20, lambda number: (everybody.wait(), number)[1])
    assert outcomes.results == list(range(20))
    assert outcomes.errors == []


def test_an_error_of_one_call_does_not_hide_the_others() -> None:
    outcomes = in_parallel(4, lambda number: 6 // number)
    assert outcomes.results == [6, 3, 2]
    assert [type(error) for error in outcomes.errors] == [ZeroDivisionError]


def test_calls_that_wait_for_each_other_count_as_delayed() -> None:
    lock, pause = threading.Lock(), 0.1

    def one_at_a_time() -> None:
        with lock:
            time.sleep(pause)

    assert held_up(one_at_a_time, at_once=4) > 2.5 * pause
    assert held_up(lambda: time.sleep(pause), at_once=4) < pause


def test_an_error_of_a_thread_is_raised() -> None:
    calls = iter([None, None, None, "wrong"])

    def third_is_wrong() -> None:
        if next(calls, "over") == "wrong":
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        held_up(third_is_wrong, at_once=2)
