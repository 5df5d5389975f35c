"""The drills' checker finds what was lost and what was doubled, and a real drill loses nothing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.postgres import NO_POSTGRES, postgres_is_available
from tests.harness.queue import NO_REDIS, redis_is_available
from tools.drill.clients import Clients
from tools.drill.drills import terminate_an_api
from tools.drill.record import CHAT, JOB, JOB_DONE, KINDS, WRITE, Difference, Record, compare
from tools.drill.report import Result, as_markdown, as_text
from tools.drill.scene import Scene, supervised
from tools.stack.stack import Stack

SECONDS = 8.0
COLUMNS = "title, description, completed, created_at, updated_at, owner_id"


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    assert compare("todo", ["a", "b"], ["b"]) == Difference(["todo: a"], [])


def test_what_is_there_twice_is_doubled_whether_acknowledged_or_not() -> None:
    assert compare("todo", ["a"], ["a", "a", "b", "b"]) == Difference([], ["todo: a", "todo: b"])


def test_what_is_there_without_an_answer_is_all_right() -> None:
    assert not compare("todo", ["a"], ["a", "b"])


def test_an_outage_lasts_from_one_good_answer_to_the_next() -> None:
    record = Record(began=100.0, ended=110.0)
    record.good_at[WRITE] = [101.0, 108.0, 103.0, 115.0]
    assert record.longest_outage(WRITE) == 5.0
    assert record.longest_outage(CHAT) == 10.0


def test_the_table_tells_what_is_wrong() -> None:
    record = Record(began=100.0, ended=110.0)
    record.error(JOB, "503")
    result = Result(3, "a title", record, "a note", Difference(["todo: a"], ["todo: b", "todo: c"]))
    assert "| 1 | 2 | 1 × job 503; a note |" in as_markdown([result])
    assert "1 × job 503; a note" in as_text([result])
    assert result.as_json()["doubled"] == ["todo: b", "todo: c"]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack that runs; ended whatever happens."""
    if not (postgres_is_available() and redis_is_available()):
        pytest.skip(f"{NO_POSTGRES}; {NO_REDIS}")
    with tempfile.TemporaryDirectory(prefix="drill-") as directory:
        stack = Stack(Path(directory), first_port=0, with_prometheus=False)
        try:
            stack.start()
            yield stack
        finally:
            stack.end_at_once()


async def sabotage(scene: Scene, clients: Clients) -> str:
    """Lose a todo, and double another one, behind the application's back."""
    await clients.try_once(0)
    await clients.try_once(1)
    lost, doubled = scene.gateway.record.acknowledged[WRITE][:2]
    scene.database.execute("DELETE FROM todos WHERE title = ?", lost)
    scene.database.execute(
        f"INSERT INTO todos ({COLUMNS}) SELECT {COLUMNS} FROM todos WHERE title = ?",  # noqa: S608
        doubled,
    )
    return f"{lost}, {doubled}"


def test_an_api_process_that_is_asked_to_end_takes_nothing_with_it(stack: Stack) -> None:
    async def both() -> None:
        async with supervised(stack) as scene:
            record, note, difference = await scene.run("calm", terminate_an_api, seconds=SECONDS)
            assert not difference, difference
            assert all(record.good_at[kind] for kind in KINDS)
            assert all(record.acknowledged[kind] for kind in (WRITE, JOB, CHAT))
            assert record.failed_attempts, "nothing was broken"
            assert record.longest_outage(JOB_DONE) > 0
            assert "ready again" in note

            # The same checker, where two promises are broken.
            _, texts, difference = await scene.run("sabotage", sabotage, seconds=0)
            lost, doubled = texts.split(", ")
            assert f"todo, stored: {lost}" in difference.lost
            assert f"todo, stored: {doubled}" in difference.doubled

    asyncio.run(both())
