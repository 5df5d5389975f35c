"""Requirement 7.6: a list takes as many SQL statements for 60 posts as for 3, and uses an index.

The app runs unchanged under a program that records its SQL.
"""

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.statements import Statements
from tests.stage07.people import Person, comments, first_admin, new_person, posts, read

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # the plans are SQLite's

NOW = "2026-01-01 00:00:00.{:06}"
MANY = 5_000
# All other statements come from background work, such as the search for due jobs.
OURS = re.compile(r"\b(FROM|INTO|UPDATE) (posts|comments|users)\b")
REQUESTS = (
    "list posts",
    "list posts by id",
    "list posts by name",
    "list comments",
    "list posts signed in",
)


@dataclass(frozen=True)
class RecordedServer:
    """A server whose statements are recorded, with one author of posts."""

    server: LaunchedServer
    notes: Statements
    author: Person
    first_post: int

    def statements(self, visitor: Api, request: str) -> list[str]:
        """Send a request, which must succeed, and return its SQL statements."""
        before = self.notes.count()
        filters: dict[str, dict[str, int | str]] = {
            "list posts by id": {"author": self.author.id},
            "list posts by name": {"author": self.author.username},
        }
        if request == "list comments":
            assert comments(visitor, {"id": self.first_post}, limit=100)
        elif request == "list posts signed in":
            assert posts(self.author.api, limit=100)
        else:
            assert posts(visitor, limit=100, **filters.get(request, {}))
        # The log contains the statements of this read only after all statements of the list.
        read(visitor, {"id": self.first_post})
        return [found for found in self.notes.since(before) if OURS.search(found)]


def write(server: LaunchedServer, author: Person, post_count: int, comments_each: int) -> None:
    """Insert posts with comments into the database file."""
    with closing(sqlite3.connect(server.database_file, timeout=10)) as database, database:
        for number in range(post_count):
            now = NOW.format(number)
            post_id = database.execute(
                "INSERT INTO posts (author_id, title, body, created_at, updated_at)"
                " VALUES (?, 'title', 'body', ?, ?)",
                (author.id, now, now),
            ).lastrowid
            database.executemany(
                "INSERT INTO comments (post_id, author_id, body, created_at, updated_at)"
                " VALUES (?, ?, 'body', ?, ?)",
                [(post_id, author.id, now, now)] * comments_each,
            )


@pytest.fixture(scope="module")
def costs(
    launch_for_module: Launch, tmp_path_factory: pytest.TempPathFactory, stage_directory: Path
) -> tuple[dict[str, list[list[str]]], LaunchedServer]:
    """Return each request's statements with few, more and many rows, and the stopped server."""
    # The test writes the rows directly, so a cache of the app would be stale.
    server = launch_for_module(start=False, CACHE_L1_TTL="0")
    notes = Statements(server, stage_directory, tmp_path_factory.mktemp("launcher"))
    server.start()
    taken: dict[str, list[list[str]]] = {request: [] for request in REQUESTS}
    with Api(server) as visitor:
        admin = first_admin(server, visitor)
        author, crowd = (new_person(visitor, admin, "author") for _ in range(2))
        first = author.write_post()
        author.comment_on(first)
        noted = RecordedServer(server, notes, author, first["id"])
        for who, post_count, comments_each in ((author, 2, 2), (author, 60, 10), (crowd, MANY, 1)):
            write(server, who, post_count, comments_each)
            for request in REQUESTS:
                taken[request].append(noted.statements(visitor, request))
    server.stop()
    return taken, server


Costs = tuple[dict[str, list[list[str]]], LaunchedServer]


@pytest.mark.requirement("7.6")
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_list_of_any_length_takes_the_same_statements(costs: Costs, request_name: str) -> None:
    few, more, many = costs[0][request_name]
    assert 1 < len(few) <= 5  # with the statements of the read after the list
    assert few == more == many


@pytest.mark.requirement("7.6")
@pytest.mark.own_stage("app/blog/")
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_list_uses_an_index_and_sorts_no_table(
    costs: Costs, request_name: str, stage: int
) -> None:
    taken, server = costs
    indexes: dict[str, str | None] = dict(
        server.database.query("SELECT name, sql FROM sqlite_master")
    )
    used = set()
    for statement in taken[request_name][-1]:
        parameters = [None] * statement.count("?")
        plan = server.database.query(f"EXPLAIN QUERY PLAN {statement}", *parameters)
        for _, parent, _, step in plan:
            # Only the selected rows of the page may be sorted.
            is_of_page = parent == 0 and " IN (SELECT " in statement
            assert "TEMP B-TREE" not in step or is_of_page, (step, statement)
            assert "AUTOMATIC" not in step, (step, statement)
            # The scan follows an index and stops when the page is full.
            by_index = "INDEX" in step and request_name in ("list posts", "list posts signed in")
            assert not step.startswith("SCAN") or by_index, (step, statement)
            used |= {name for name in indexes if name in step.split()}
    partial = {name for name in used if "WHERE" in (indexes[name] or "").upper()}
    # The capstone also has indexes over all rows for administrators; SQLite may prefer them.
    assert partial or stage >= 9, used
    assert used & {name for name, made_by in indexes.items() if made_by and "INDEX" in made_by}
