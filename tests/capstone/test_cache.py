"""Requirement C.3: two cache levels, invalidated across processes, also while Redis is down."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from course.catalog.stages import find_stage, load_course
from course.harness.driver import Api
from course.harness.waiting import eventually
from tests.capstone.replicas import Replicas, started
from tests.stage07.people import Person, expect, first_admin, new_person

pytestmark = [pytest.mark.craft, pytest.mark.deployment("full")]

L1_TTL = 2.0  # seconds: the maximum age of an answer while Redis is down
SLACK = 1.0  # seconds of reserve for a busy machine
SEEN_ELSEWHERE_WITHIN = 1.0  # seconds
FORGETS_WITHIN = 5.0  # seconds to notice that Redis is down, or up again
WRITERS, READERS, WRITES = 6, 3, 60


@pytest.fixture(scope="module")
def replicas(
    stage: int, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    """Return two processes; every test leaves their Redis running."""
    directory: Path = tmp_path_factory.mktemp("replicas")
    found = find_stage(load_course(), str(stage))
    with started(found, directory, postgres_url, CACHE_L1_TTL=str(L1_TTL)) as replicas:
        yield replicas


@pytest.fixture
def clients(replicas: Replicas) -> Iterator[tuple[Api, Api]]:
    """Return a driver for each process, signed in as the same user."""
    mark = replicas.server.log_mark()
    with replicas.clients_of_one_user() as clients:
        eventually(lambda: is_shared(*clients), within=FORGETS_WITHIN)
        yield clients
    assert "Traceback (most recent call last)" not in replicas.server.log_since(mark)


@pytest.fixture
def author(replicas: Replicas) -> Iterator[Person]:
    """Return an author who uses the first process."""
    with Api(replicas.server, turn=0) as visitor:
        yield new_person(visitor, first_admin(replicas.server, visitor), "author")


def is_shared(one: Api, other: Api) -> bool:
    """Return whether the second process finds an answer that the first one has cached."""
    path = f"/todos/{one.create_todo()['id']}"
    return [level(one, path), level(other, path)] == ["MISS", "L2"]


def level(api: Api, path: str) -> str:
    """Return the cache level that answered."""
    answer = api.request("GET", path)
    assert answer.status_code == 200
    return answer.headers["x-cache"]


@pytest.mark.requirement("C.3")
def test_a_process_caches_in_memory_and_shares_through_redis(clients: tuple[Api, Api]) -> None:
    one, other = clients
    for path in (f"/todos/{one.create_todo()['id']}", "/todos?limit=3", "/todos?completed=true"):
        assert [level(one, path), level(one, path)] == ["MISS", "L1"], path
        assert [level(other, path), level(other, path)] == ["L2", "L1"], path


@pytest.mark.requirement("C.3")
def test_a_write_is_visible_at_once_to_its_writer_and_soon_elsewhere(
    clients: tuple[Api, Api],
) -> None:
    todo_id = clients[0].create_todo()["id"]
    delays = []
    for number in range(50):
        writer, reader = clients if number % 2 else clients[::-1]
        assert reader.get_todo(todo_id)  # caches the old value
        title = f"title {number}"
        writer.patch_todo(todo_id, title=title)
        written_at = time.monotonic()
        assert writer.get_todo(todo_id)["title"] == title
        assert title in [todo["title"] for todo in writer.list_todos()]
        while reader.get_todo(todo_id)["title"] != title:
            assert time.monotonic() - written_at < SEEN_ELSEWHERE_WITHIN
        delays.append(time.monotonic() - written_at)
    print(f"seen by the other process after {max(delays) * 1000:.0f} ms at most, reads included")


@pytest.mark.requirement("C.3")
def test_a_writer_reads_its_own_write_under_load(
    replicas: Replicas, clients: tuple[Api, Api], author: Person
) -> None:
    # Calls to Redis wait for each other, so a reader can run between two of them.
    stopped = threading.Event()
    todo, post = clients[0].create_todo(), author.write_post()
    paths = (f"/todos/{todo['id']}", f"/posts/{post['id']}")

    def write(api: Api) -> None:
        todo_id = api.create_todo()["id"]
        while not stopped.is_set():
            api.patch_todo(todo_id, title="another")

    def read() -> None:
        while not stopped.is_set():
            for path in paths:
                clients[0].request("GET", path)

    with ExitStack() as stack:
        others = [stack.enter_context(replicas.clients_of_one_user())[0] for _ in range(WRITERS)]
        threads = [threading.Thread(target=write, args=(api,)) for api in others]
        threads += [threading.Thread(target=read) for _ in range(READERS)]
        for thread in threads:
            thread.start()
        try:
            for number in range(WRITES):
                title = f"title {number}"
                clients[0].patch_todo(todo["id"], title=title)
                assert clients[0].get_todo(todo["id"])["title"] == title
                expect(200, author.api, "PATCH", paths[1], json={"title": title})
                assert expect(200, author.api, "GET", paths[1])["title"] == title
            author.delete("posts", post)
            expect(404, author.api, "GET", paths[1])
        finally:
            stopped.set()
            for thread in threads:
                thread.join()


@pytest.mark.requirement("C.3")
def test_the_cache_is_emptied_after_the_subscription_was_lost(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    # Redis keeps running, and the client library subscribes again by itself. Messages in between
    # are lost, so the first level must be emptied.
    one, other = clients
    path = f"/todos/{one.create_todo()['id']}"
    for _ in range(5):
        eventually(lambda: is_shared(*clients), within=FORGETS_WITHIN)
        assert [level(other, path) for _ in range(2)][1] == "L1"
        replicas.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        eventually(lambda: level(other, path) != "L1", within=1.0)


@pytest.mark.requirement("C.3")
def test_the_other_process_sees_every_kind_of_write(clients: tuple[Api, Api]) -> None:
    one, other = clients

    before = [todo["title"] for todo in other.list_todos()]

    def titles() -> list[str]:
        return [todo["title"] for todo in other.list_todos()][len(before) :]

    assert titles() == []
    todo_id = one.create_todo("made")["id"]
    eventually(lambda: titles() == ["made"], within=SEEN_ELSEWHERE_WITHIN)
    one.replace_todo(todo_id, title="replaced")
    eventually(lambda: titles() == ["replaced"], within=SEEN_ELSEWHERE_WITHIN)
    one.patch_todo(todo_id, title="patched")
    eventually(lambda: titles() == ["patched"], within=SEEN_ELSEWHERE_WITHIN)
    one.delete_todo(todo_id)
    eventually(lambda: titles() == [], within=SEEN_ELSEWHERE_WITHIN)
    assert other.request("GET", f"/todos/{todo_id}").status_code == 404


@pytest.mark.requirement("C.3")
def test_the_other_process_sees_new_comments_and_deleted_posts(
    replicas: Replicas, author: Person
) -> None:
    reader = replicas.client(1, author.api, None)
    post = author.write_post()
    path = f"/posts/{post['id']}"
    assert level(reader, path) in ("L2", "MISS")
    author.comment_on(post)
    eventually(
        lambda: expect(200, reader, "GET", path)["comments_count"] == 1,
        within=SEEN_ELSEWHERE_WITHIN,
    )
    author.delete("posts", post)
    eventually(lambda: reader.request("GET", path).status_code == 404, within=SEEN_ELSEWHERE_WITHIN)
    listed = expect(200, reader, "GET", "/posts?limit=100")
    assert post["id"] not in [each["id"] for each in listed]


@pytest.mark.requirement("C.3")
def test_a_user_never_gets_the_cached_answer_of_another_user(replicas: Replicas) -> None:
    with replicas.clients_of_one_user() as ours, replicas.clients_of_one_user() as theirs:
        path = f"/todos/{ours[0].create_todo()['id']}"
        for api in ours:
            assert api.request("GET", path).status_code == 200
        for api in theirs:
            assert api.request("GET", path).status_code == 404
            assert api.list_todos() == []


@pytest.mark.requirement("C.3")
def test_both_processes_answer_304_for_the_same_etag(clients: tuple[Api, Api]) -> None:
    one, other = clients
    path = f"/todos/{one.create_todo()['id']}"
    etag = one.request("GET", path).headers["etag"]
    for api in (one, other, one):
        answer = api.request("GET", path, headers={"If-None-Match": f'"another", W/{etag}'})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    one.patch_todo(int(path.rsplit("/", 1)[1]), title="New")
    answer = one.request("GET", path, headers={"If-None-Match": etag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != etag


@pytest.mark.requirement("C.3")
def test_a_revoked_role_ends_at_the_other_process(replicas: Replicas, author: Person) -> None:
    there = Person(replicas.client(1, author.api, author.api.token), author.id, author.username)
    there.write_post()
    with Api(replicas.server, turn=0) as visitor:
        admin = first_admin(replicas.server, visitor)
        for role, status in (("user", 403), ("author", 201)):
            expect(200, admin.api, "PUT", f"/users/{author.id}/role", json={"role": role})
            answer = there.api.request("POST", "/posts", json={"title": "T", "body": "B"})
            assert answer.status_code == status


@pytest.mark.requirement("C.3")
def test_a_slow_read_does_not_cache_an_old_value(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    slow, writer = clients
    todo_id = writer.create_todo("old")["id"]
    path, answers = f"/todos/{todo_id}", list[httpx.Response]()
    reading = threading.Thread(target=lambda: answers.append(slow.request("GET", path)))
    with replicas.database.read_lock("todos"):
        reading.start()
        eventually(lambda: readers_of_todos(replicas) == 1)
        # The query is in the database; the process is suspended before the answer arrives.
        os.kill(replicas.processes[0].pid, signal.SIGSTOP)
    try:
        eventually(lambda: readers_of_todos(replicas) == 0)
        writer.patch_todo(todo_id, title="new")
    finally:
        os.kill(replicas.processes[0].pid, signal.SIGCONT)
    reading.join()
    assert answers[0].json()["title"] in ("old", "new")  # it started before the change
    assert slow.get_todo(todo_id)["title"] == "new"
    assert writer.get_todo(todo_id)["title"] == "new"


@pytest.mark.requirement("C.3")
@pytest.mark.alone
def test_200_concurrent_misses_in_two_processes_cause_one_query(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    clients[0].create_todo()
    for api in clients:  # caches the users, so that only the list is missing
        api.request("GET", "/users/me")
    results, path = Results(), "/todos?limit=17"
    asking = [
        threading.Thread(target=results.ask, args=(clients[number % 2], path))
        for number in range(200)
    ]
    with replicas.database.read_lock("todos"):
        for thread in asking:
            thread.start()
        eventually(lambda: readers_of_todos(replicas) == 1)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            assert readers_of_todos(replicas) == 1
    for thread in asking:
        thread.join()
    assert {answer.status_code for answer in results.answers} == {200}
    assert len({answer.content for answer in results.answers}) == 1
    asked_the_database = {
        answer.url.port for answer in results.answers if answer.headers["x-cache"] == "MISS"
    }
    assert len(asked_the_database) == 1


@pytest.mark.requirement("C.3")
@pytest.mark.alone
def test_a_restart_of_redis_under_load_causes_no_error_and_no_stale_answer(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    load = Load(clients)
    with load.running():
        time.sleep(1)
        replicas.redis.kill()
        time.sleep(2)
        replicas.redis.start()
        time.sleep(2)
    print(
        f"{load.reads} reads, {load.writes} writes, {load.stale} of the reads stale, the oldest"
        f" by {load.oldest:.2f} s"
    )
    assert load.errors == []
    assert load.writes > 10
    assert load.oldest < L1_TTL + SLACK
    eventually(lambda: is_shared(*clients), within=FORGETS_WITHIN)


@pytest.mark.requirement("C.3")
@pytest.mark.alone
def test_a_hanging_redis_delays_requests_only_briefly(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    load = Load(clients)
    with load.running():
        time.sleep(0.5)
        replicas.redis.pause()
        time.sleep(4)
        replicas.redis.resume()
        time.sleep(1)
    print(f"slowest {load.slowest:.2f} s; the oldest of {load.stale} stale by {load.oldest:.2f} s")
    assert load.errors == []
    assert load.slowest < 2.5
    assert load.oldest < L1_TTL + SLACK
    eventually(lambda: is_shared(*clients), within=FORGETS_WITHIN)


@pytest.mark.requirement("C.3")
def test_a_change_during_a_redis_outage_is_visible_afterwards(
    replicas: Replicas, clients: tuple[Api, Api]
) -> None:
    one, other = clients
    todo_id = one.create_todo("before")["id"]
    for api in clients:
        assert api.get_todo(todo_id)["title"] == "before"
    replicas.redis.stop_and_keep()
    try:
        one.patch_todo(todo_id, title="meanwhile")
        assert one.get_todo(todo_id)["title"] == "meanwhile"
    finally:
        replicas.redis.start()
    assert one.get_todo(todo_id)["title"] == "meanwhile"
    eventually(lambda: other.get_todo(todo_id)["title"] == "meanwhile", within=L1_TTL + SLACK)
    with replicas.clients_of_one_user() as somebody:  # another user's writes do not invalidate ours
        eventually(lambda: is_shared(*somebody), within=FORGETS_WITHIN)
    assert {api.get_todo(todo_id)["title"] for api in clients} == {"meanwhile"}


class Results:
    """The answers that several threads got."""

    def __init__(self) -> None:
        self.answers: list[httpx.Response] = []

    def ask(self, api: Api, path: str) -> None:
        """Send a request and store the answer."""
        self.answers.append(api.request("GET", path))


class Load:
    """A writer and two readers for each process; the value of every todo only grows."""

    def __init__(self, clients: tuple[Api, Api]) -> None:
        self.errors: list[str] = []
        self.reads = self.writes = self.stale = 0
        self.oldest = self.slowest = 0.0
        self._clients = clients
        self._stopped = threading.Event()
        self._todos = [api.create_todo("0")["id"] for api in clients]
        # The time at which each value of each todo was acknowledged.
        self._written: list[list[float]] = [[time.monotonic()], [time.monotonic()]]

    def running(self) -> Any:
        """Run the clients until the `with` block ends."""
        return _Running(
            [threading.Thread(target=self._write, args=(number,)) for number in range(2)]
            + [threading.Thread(target=self._read, args=(number,)) for number in range(4)],
            self._stopped,
        )

    def _write(self, number: int) -> None:
        while not self._stopped.is_set():
            value = str(len(self._written[number]))
            answer = self._timed(
                self._clients[number], "PATCH", self._todos[number], json={"title": value}
            )
            if answer is not None:
                self._written[number].append(time.monotonic())
                self.writes += 1
            self._stopped.wait(0.05)

    def _read(self, reader: int) -> None:
        api, number = self._clients[reader % 2], reader // 2
        while not self._stopped.is_set():
            asked_at, newest = time.monotonic(), len(self._written[number]) - 1
            answer = self._timed(api, "GET", self._todos[number])
            if answer is not None:
                self.reads += 1
                value = int(answer["title"])
                if value < newest:  # a newer value was acknowledged before this request
                    self.stale += 1
                    age = asked_at - self._written[number][value + 1]
                    self.oldest = max(self.oldest, age)
            self._stopped.wait(0.005)

    def _timed(self, api: Api, method: str, todo_id: int, **options: Any) -> Any:
        began = time.monotonic()
        answer = api.request(method, f"/todos/{todo_id}", **options)
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer.status_code == 200:
            return answer.json()
        self.errors.append(f"{method}: {answer.status_code} {answer.text[:200]}")
        return None


class _Running:
    def __init__(self, threads: list[threading.Thread], stopped: threading.Event) -> None:
        self._threads = threads
        self._stopped = stopped

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def readers_of_todos(replicas: Replicas) -> int:
    """Return how many connections of the app wait to read the locked table."""
    ((count,),) = replicas.database.query(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT todos%'"
        " AND datname = current_database()"
    )
    return int(count)
