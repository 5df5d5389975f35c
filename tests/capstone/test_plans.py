"""Requirement C.9: the number of rows that a statement reads does not grow with the tables.

PostgreSQL logs the plan of each statement of the app (`auto_explain`), with tables of tens of
thousands of rows. No statement may scan a whole table, and a page of a list may read only about
as many rows as it returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.queue import BEAT, WORKER, Process, Redis, celery_process, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.capstone.full_tables import GROWING, ROWS, fill
from tests.stage07.people import Person, expect, first_admin

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own database

MOST_ROWS = 300  # the limit for a step of a plan; a page has at most 100 rows
# PostgreSQL considers a generic plan from the sixth execution on.
TIMES = 14
DEEP = ROWS // 2 - 1000
LIMITS = ("MAX_TODOS_PER_USER", "MAX_POSTS_PER_USER", "MAX_COMMENTS_PER_USER")
EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
}

# `{n}` changes with each request, so that no answer comes from a cache.
READS = [
    *("/todos?limit={n}", "/todos?completed=true&limit={n}", "/todos?completed=false&limit={n}"),
    *("/todos/{n}", "/users?limit={n}"),
    *("/images?limit={n}", "/images/{uuid}", "/images/{uuid}/file"),
    *("/jobs?limit={n}", "/jobs/{uuid}", "/jobs/{uuid}/report", "/jobs?status=succeeded&limit={n}"),
    *("/jobs?status=failed&limit={n}", "/jobs?status=queued&limit={n}"),
    *("/jobs?status=scheduled&limit={n}", "/jobs?status=running&limit={n}"),
    *("/posts?limit={n}", "/posts?author={me}&limit={n}", "/posts?author=other7&limit={n}"),
    *("/posts/{n}", "/posts/{n}?include_deleted=true", "/posts/{n}/comments?limit={n}"),
    *(
        "/posts?include_deleted=true&limit={n}",
        "/posts?include_deleted=true&author=other7&limit={n}",
    ),
    *("/chat/messages?limit={n}", "/chat/messages?before=5{n}&limit={n}"),
    "/chat/messages?after=5{n}&limit={n}",
]
DEEP_READS = [
    *("/todos?limit=20&offset={deep}", "/images?offset={deep}", "/jobs?offset={deep}"),
    *("/posts?offset={deep}", "/posts?include_deleted=true&offset={deep}", "/users?offset=4{n}"),
    *("/posts?author={me}&offset=1{n}000", "/posts/{busy}/comments?offset={deep}"),
]
# A deep page may read these tables only for the returned rows, not for the skipped ones.
DONE_FOR_EACH = re.compile(r"\b(?:on|using \w+ on) (comments|users|posts)\b.*?loops=(\d+)")

_STEP = re.compile(r"actual rows=([\d.]+) loops=(\d+)")
_REMOVED = re.compile(r"Rows Removed by [\w ]+: (\d+)")
_SCAN = re.compile(r"Seq Scan on (\w+)")


class Plans:
    """A server with full tables, its administrator, and the plans of its statements."""

    def __init__(
        self, server: LaunchedServer, person: Person, postgres: Postgres, *, busy: int
    ) -> None:
        self.server = server
        self.person = person
        self.busy = busy  # the id of a post with very many comments
        self._log = postgres.process.log_file

    def mark(self) -> int:
        """Return the current end of the log."""
        return self._log.stat().st_size

    def since(self, mark: int) -> list[str]:
        """Return the plans that were logged after a mark."""
        with self._log.open("rb") as log:
            log.seek(mark)
            entries = re.split(r"^(?=\S)", log.read().decode(), flags=re.MULTILINE)
        return [entry for entry in entries if " plan:\n" in entry]


@pytest.fixture(scope="module")
def plans(launch_for_module: Launch, own_postgres: Postgres) -> Iterator[Plans]:
    """Return the server; it has only two connections, so statements are soon prepared on both."""
    url = create_database(own_postgres.url)
    settings = {"DATABASE_URL": url, "REDIS_URL": ""}
    settings |= {"DATABASE_POOL_SIZE": "2", "DATABASE_MAX_OVERFLOW": "0"}
    settings |= dict.fromkeys(LIMITS, str(10 * ROWS))  # the tables exceed the default limits
    server = launch_for_module(start=True, **settings)
    with Api(server) as visitor:
        person = first_admin(server, visitor)
        busy = fill(url, person.id)
        with psycopg.connect(url.replace("+asyncpg", ""), autocommit=True) as connection:
            database = connection.info.dbname
            for name, value in EXPLAIN.items():
                connection.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")
        server.restart()
        yield Plans(server, person, own_postgres, busy=busy)


def ask(plans: Plans, path: str) -> None:
    """Request a path often enough, each time with other numbers."""
    for number in range(1, TIMES + 1):
        values = {"n": number, "me": plans.person.id, "deep": DEEP + number, "busy": plans.busy}
        uuid = f"00000000-0000-4000-8000-{2 * number:012x}"
        answer = plans.person.api.request("GET", path.format(uuid=uuid, **values))
        assert answer.status_code < 500, answer.text


def assert_no_table_scan(found: list[str]) -> None:
    """Assert that no plan scans a growing table."""
    for plan in found:
        assert not set(_SCAN.findall(plan)) & set(GROWING), plan


def assert_few_rows(found: list[str]) -> None:
    """Assert that no step of a plan reads much more than a page."""
    assert_no_table_scan(found)
    for plan in found:
        rows = [float(rows) * int(loops) for rows, loops in _STEP.findall(plan)]
        rows += map(float, _REMOVED.findall(plan))
        assert max(rows) <= MOST_ROWS, plan


@pytest.mark.requirement("C.9")
@pytest.mark.parametrize("path", READS)
def test_a_list_reads_about_as_many_rows_as_it_returns(plans: Plans, path: str) -> None:
    mark = plans.mark()
    ask(plans, path)
    found = plans.since(mark)
    assert len(found) >= TIMES
    assert_few_rows(found)


@pytest.mark.requirement("C.9")
@pytest.mark.parametrize("path", DEEP_READS)
def test_a_deep_page_uses_an_index(plans: Plans, path: str) -> None:
    mark = plans.mark()
    ask(plans, path)
    found = plans.since(mark)
    assert len(found) >= TIMES
    assert_no_table_scan(found)
    for plan in found:
        for table, loops in DONE_FOR_EACH.findall(plan):
            assert int(loops) <= MOST_ROWS, f"{table} is read {loops} times:\n{plan}"


@pytest.mark.requirement("C.9")
def test_a_change_reads_only_the_rows_that_it_changes(plans: Plans) -> None:
    api = plans.person.api
    # A quota check sometimes counts all rows of a user. These calls cause that count now.
    api.create_todo()
    plans.person.comment_on(plans.person.write_post())
    mark = plans.mark()
    for number in range(TIMES):
        key = {"Idempotency-Key": f"plan {number}"}
        todo: dict[str, Any] = expect(
            201, api, "POST", "/todos", json={"title": f"Todo {number}"}, headers=key
        )
        api.patch_todo(todo["id"], completed=True)
        api.replace_todo(todo["id"], title="Another")
        api.delete_todo(todo["id"])
        job = expect(
            202, api, "POST", "/jobs", json={"text": "later", "run_at": "2099-01-01T00:00Z"}
        )
        expect(200, api, "DELETE", f"/jobs/{job['id']}")
        post = plans.person.write_post()
        expect(200, api, "PATCH", f"/posts/{post['id']}", json={"title": "Another"})
        comment = plans.person.comment_on(post)
        expect(200, api, "PATCH", f"/comments/{comment['id']}", json={"body": "Another"})
        plans.person.delete("comments", comment)
        plans.person.restore("comments", comment)
        plans.person.delete("posts", post)
        plans.person.restore("posts", post)
        expect(200, api, "PUT", f"/users/{number + 10}/role", json={"role": "author"})
        with_token = api.as_new_user()  # registers, and signs in
        assert with_token.token
    found = plans.since(mark)
    assert len(found) > 20 * TIMES
    assert_few_rows(found)


@pytest.mark.requirement("C.9")
def test_a_refresh_and_a_sign_out_read_one_token_family(plans: Plans) -> None:
    api = plans.person.api
    settings = plans.server.settings
    credentials = {
        "username": settings["FIRST_ADMIN_USERNAME"],
        "password": settings["FIRST_ADMIN_PASSWORD"],
    }
    mark = plans.mark()
    token = expect(200, api, "POST", "/auth/token", data=credentials)["refresh_token"]
    for _ in range(TIMES):
        body = {"refresh_token": token}
        token = expect(200, api, "POST", "/auth/refresh", json=body)["refresh_token"]
    expect(204, api, "POST", "/auth/logout", json={"refresh_token": token})
    found = plans.since(mark)
    assert_few_rows(found)


@pytest.mark.requirement("C.9")
def test_background_work_scans_no_whole_table(plans: Plans) -> None:
    mark = plans.mark()
    plans.server.restart()  # the clean-up runs at the start

    def of_the_background() -> list[str]:
        return plans.since(mark)

    cleaned = ("DELETE FROM jobs", "DELETE FROM idempotency_keys", "DELETE FROM refresh_tokens")
    eventually(
        lambda: all(any(word in plan for plan in of_the_background()) for word in cleaned),
        within=20,
    )
    eventually(
        lambda: sum("UPDATE jobs" in plan for plan in of_the_background()) > TIMES, within=30
    )
    assert_few_rows(of_the_background())


@pytest.mark.requirement("C.9")
def test_workers_and_beat_scan_no_whole_table(plans: Plans, tmp_path: Any) -> None:
    if not redis_is_available():
        pytest.skip("not checked: Redis is not available")
    redis = Redis(tmp_path / "redis")
    redis.start()
    plans.server.settings["REDIS_URL"] = redis.url
    celery: list[Process] = []
    try:
        mark = plans.mark()
        for arguments in (WORKER, BEAT):
            log_file = tmp_path / f"{arguments[0]}.log"
            celery.append(celery_process(plans.server, log_file, *arguments))
            celery[-1].start()
        eventually(
            lambda: sum("jobs.announced_at <" in plan for plan in plans.since(mark)) > TIMES // 2,
            within=60,
        )
        found = plans.since(mark)
    finally:
        for process in (*celery, redis.process):
            process.end()
        plans.server.settings["REDIS_URL"] = ""
    assert_few_rows(found)
