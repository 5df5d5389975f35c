"""Requirements 2.3 and 2.4: many writers at once, and another process that locks the database."""

import threading
import time
from functools import partial
from typing import Any

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel

pytestmark = pytest.mark.craft

AT_ONCE = 0.5  # seconds: an answer that did not wait for the lock
LONGER_THAN_ANY_WAIT = 20.0  # seconds; a writer must have given up by then


@pytest.mark.requirement("2.3")
@pytest.mark.own_stage("app/todos/", "app/database.py")
def test_fifty_writers_wait_for_a_locked_database_and_succeed(
    api: Api, launched_server: LaunchedServer
) -> None:
    finished, mark = threading.Event(), launched_server.log_mark()

    def lock_again_and_again() -> None:
        while not finished.is_set():
            with launched_server.database.write_lock():
                finished.wait(0.02)
            finished.wait(0.05)

    other_process = threading.Thread(target=lock_again_and_again)
    other_process.start()
    try:
        made = in_parallel(50, lambda _: api.create_todo()["id"])
    finally:
        finished.set()
        other_process.join()
    assert not made.errors
    assert len(set(made.results)) == 50
    assert "database is locked" not in launched_server.log_since(mark)


@pytest.mark.requirement("2.3")
@pytest.mark.own_stage("app/todos/", "app/database.py")
@pytest.mark.contract("T8")
def test_concurrent_changes_of_one_todo_are_all_kept(api: Api) -> None:
    todo = api.create_todo("Old", description="Old", completed=False)
    for number in range(10):
        wanted: dict[str, Any] = {
            "title": f"New {number}",
            "description": f"New {number}",
            "completed": number % 2 == 0,
        }
        changes = [{name: value} for name, value in wanted.items()]
        answers = in_parallel(3, partial(send_own_patch, api, todo["id"], changes))
        assert not answers.errors
        now = api.get_todo(todo["id"])
        assert {name: now[name] for name in wanted} == wanted


def send_own_patch(api: Api, todo_id: int, changes: list[dict[str, Any]], client: int) -> None:
    """Send the change of this client."""
    api.patch_todo(todo_id, **changes[client])


@pytest.mark.requirement("2.4")
@pytest.mark.alone
def test_other_requests_are_served_while_a_write_waits_for_a_lock(
    api: Api, launched_server: LaunchedServer
) -> None:
    answers: list[int] = []
    body = {"title": "has to wait"}
    writer = threading.Thread(
        target=lambda: answers.append(api.request("POST", "/todos", json=body).status_code)
    )
    slowest = 0.0
    with launched_server.database.write_lock():
        writer.start()
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            for path in ("/openapi.json", "/todos?limit=1"):
                asked = time.monotonic()
                assert api.request("GET", path).status_code == 200
                slowest = max(slowest, time.monotonic() - asked)
        assert not answers  # the write is still waiting
    writer.join()
    assert answers == [201]
    assert slowest < AT_ONCE


@pytest.mark.requirement("2.3")
@pytest.mark.slow
@pytest.mark.deployment("plain")
def test_a_write_gets_503_after_waiting_five_seconds_for_a_lock(
    api: Api, launched_server: LaunchedServer
) -> None:
    with launched_server.database.write_lock():
        asked = time.monotonic()
        answer = api.request("POST", "/todos", json={"title": "waits for too long"})
        waited = time.monotonic() - asked
    assert answer.status_code == 503
    assert 4.5 < waited < LONGER_THAN_ANY_WAIT
