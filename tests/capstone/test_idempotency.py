"""Requirements C.1 and C.12: a request that is repeated with its key is done once."""

from __future__ import annotations

import pytest

from course.harness.database import Database, database_at
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import create_database
from course.harness.raw_http import connect, head
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.capstone.keys import (
    ALL_KINDS,
    FILE,
    JOB,
    KINDS,
    TODO,
    Kind,
    is_replayed,
    new_key,
    new_text,
)
from tests.stage03.accounts import PASSWORD, new_username, register
from tests.stage05.jobs import SLOWEST, read, succeeded

# the tests start a database of either kind
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

LONGEST_KEY = 255
AT_ONCE = 20
NO_KEYS = ["", "x" * (LONGEST_KEY + 1), "ключ".encode(), b"a\x7fb", "a\tb"]

each_kind = pytest.mark.parametrize("kind", ALL_KINDS, ids=lambda kind: kind.name)


class Pair:
    """Two servers with one database, and users who are signed in at both."""

    def __init__(self, first: LaunchedServer, second: LaunchedServer) -> None:
        self.servers = (first, second)
        self.database: Database = database_at(first.settings["DATABASE_URL"])
        self._visitor = Api(first)

    def new_user(self) -> tuple[Api, Api]:
        """Return a new user's drivers for the first and the second server."""
        api = self._visitor.as_new_user()
        return api, Api(self.servers[1], token=api.token)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, launch_for_module: Launch, postgres_url: str) -> Pair:
    """Return two servers with one SQLite or PostgreSQL database."""
    settings = {"REDIS_URL": ""}
    if request.param == "postgresql":
        settings["DATABASE_URL"] = create_database(postgres_url)
    first = launch_for_module(start=True, **settings)
    settings["DATABASE_URL"] = first.settings["DATABASE_URL"]
    return Pair(first, launch_for_module(start=True, **settings))


@pytest.mark.requirement("C.1", "C.12")
@pytest.mark.contract("U14")
@each_kind
def test_a_repeated_request_is_done_once_and_gets_the_first_answer(pair: Pair, kind: Kind) -> None:
    api, at_the_other = pair.new_user()
    key, text = new_key(), new_text()
    first = kind.send(api, text, key)
    assert (first.status_code, is_replayed(first)) == (kind.status, False)
    for again in (kind.send(api, text, key), kind.send(at_the_other, text, key)):
        assert (again.status_code, is_replayed(again)) == (kind.status, True)
        assert again.content == first.content
        for name in ("Location", "Content-Type"):
            assert again.headers[name] == first.headers[name]
    assert kind.times_done(pair.database, text) == 1


@pytest.mark.requirement("C.1")
@each_kind
def test_twenty_concurrent_requests_with_one_key_are_done_once(pair: Pair, kind: Kind) -> None:
    users = pair.new_user()
    key, text = new_key(), new_text()
    sent = in_parallel(AT_ONCE, lambda number: kind.send(users[number % 2], text, key))
    assert not sent.errors
    assert {answer.status_code for answer in sent.results} == {kind.status}
    assert len({answer.content for answer in sent.results}) == 1
    assert [is_replayed(answer) for answer in sent.results].count(False) == 1
    assert kind.times_done(pair.database, text) == 1


@pytest.mark.requirement("C.1")
def test_each_request_without_a_key_is_done(pair: Pair) -> None:
    api, _ = pair.new_user()
    text = new_text()
    answers = [TODO.send(api, text, None) for _ in range(2)]
    assert not any(map(is_replayed, answers))
    assert TODO.times_done(pair.database, text) == 2


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U14")
@each_kind
def test_reusing_a_key_with_another_input_gets_422(pair: Pair, kind: Kind) -> None:
    api, at_the_other = pair.new_user()
    key, text, other = new_key(), new_text(), new_text()
    assert kind.send(api, text, key).status_code == kind.status
    assert kind.send(at_the_other, other, key).status_code == 422
    assert kind.times_done(pair.database, other) == 0
    assert is_replayed(kind.send(api, text, key))


@pytest.mark.requirement("C.1")
def test_a_registration_with_a_key_is_refused_with_a_reason(pair: Pair) -> None:
    with Api(pair.servers[0]) as visitor:
        username = new_username()
        body = {"username": username, "password": PASSWORD}
        headers = {"Idempotency-Key": new_key()}
        answer = visitor.request("POST", "/auth/register", json=body, headers=headers)
        assert answer.status_code == 422
        assert "Idempotency-Key" in answer.text
        assert register(visitor, username).status_code == 201


@pytest.mark.requirement("C.1")
def test_equivalent_bodies_count_as_the_same_input(pair: Pair) -> None:
    api, _ = pair.new_user()
    key, text = {"Idempotency-Key": new_key()}, new_text()
    bodies = [{"title": text}, {"completed": False, "description": None, "title": f" {text} "}]
    answers = [api.request("POST", "/todos", json=body, headers=key) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert is_replayed(answers[1])


@pytest.mark.requirement("C.1")
def test_a_key_belongs_to_a_user(pair: Pair) -> None:
    key, text = new_key(), new_text()
    answers = [TODO.send(pair.new_user()[0], text, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


@pytest.mark.requirement("C.1")
def test_a_key_belongs_to_a_route(pair: Pair) -> None:
    api, _ = pair.new_user()
    key, text = new_key(), new_text()
    assert [kind.send(api, text, key).status_code for kind in (TODO, JOB, FILE)] == [201, 202, 202]


@pytest.mark.requirement("C.1")
def test_the_repeated_answer_stays_the_same_after_a_change(pair: Pair) -> None:
    api, _ = pair.new_user()
    key, text = new_key(), new_text()
    first = TODO.send(api, text, key)
    api.patch_todo(first.json()["id"], title="Changed")
    assert TODO.send(api, text, key).content == first.content
    api.delete_todo(first.json()["id"])
    assert TODO.send(api, text, key).content == first.content
    assert TODO.times_done(pair.database, text) == 0


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_error_is_not_stored_for_a_key(pair: Pair, kind: Kind) -> None:
    api, _ = pair.new_user()
    key, text = new_key(), new_text()
    assert kind.send(api, "   ", key).status_code == 422
    answer = kind.send(api, text, key)
    assert (answer.status_code, is_replayed(answer)) == (kind.status, False)


@pytest.mark.requirement("C.1")
def test_the_longest_allowed_key_is_accepted(pair: Pair) -> None:
    api, _ = pair.new_user()
    key, text = new_key().rjust(LONGEST_KEY, "~"), new_text()
    assert TODO.send(api, text, key).status_code == 201
    assert is_replayed(TODO.send(api, text, key))


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("key", NO_KEYS)
def test_an_invalid_key_gets_422(pair: Pair, key: str | bytes) -> None:
    api, _ = pair.new_user()
    text = new_text()
    assert TODO.send(api, text, key).status_code == 422
    assert TODO.times_done(pair.database, text) == 0


@pytest.mark.requirement("C.1")
def test_a_repeated_job_runs_once(pair: Pair) -> None:
    api, at_the_other = pair.new_user()
    key, text = new_key(), new_text()
    job_id = JOB.send(api, text, key).json()["id"]
    succeeded(api, job_id)
    assert JOB.send(at_the_other, text, key).json()["status"] == "queued"  # the first answer
    assert read(api, job_id)["attempts"] == 1
    assert JOB.times_done(pair.database, text) == 1


@pytest.mark.requirement("C.1", "C.12")
def test_a_disconnected_client_can_repeat_its_request(pair: Pair) -> None:
    api, at_the_other = pair.new_user()
    key, text = new_key(), new_text()
    body = b'{"title": "%s"}' % text.encode()
    headers = {"Authorization": f"Bearer {api.token}", "Idempotency-Key": key}
    with connect(api.server) as socket:
        length = {"Content-Length": str(len(body))}
        socket.sendall(head(api.server, "POST", "/todos", headers | length) + body)
        eventually(lambda: TODO.times_done(pair.database, text) == 1)
    # The connection is closed before the client reads the answer.
    again = TODO.send(at_the_other, text, key)
    assert (again.status_code, is_replayed(again)) == (201, True)
    assert again.json()["title"] == text
    assert TODO.times_done(pair.database, text) == 1


@pytest.mark.requirement("C.1", "C.12")
@pytest.mark.parametrize("pair", ["sqlite"], indirect=True)
def test_a_key_is_still_known_after_a_kill(pair: Pair) -> None:
    server = pair.servers[1]
    with Api(server) as visitor:
        api = visitor.as_new_user()
        key, text = new_key(), new_text()
        first = TODO.send(api, text, key)
        server.kill()
        server.start()
        again = TODO.send(api, text, key)
    assert is_replayed(again)
    assert again.content == first.content


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_keys_are_kept_for_a_day_and_then_removed(pair: Pair) -> None:
    server, database = pair.servers[1], pair.database
    with Api(server) as visitor:
        api = visitor.as_new_user()
        young, old, text = new_key(), new_key(), new_text()
        TODO.send(api, text, young)
        TODO.send(api, text, old)
        age = "UPDATE idempotency_keys SET created_at = now() - CAST(? AS interval) WHERE key = ?"
        database.execute(age, "23 hours 55 minutes", young)
        database.execute(age, "24 hours 5 minutes", old)
        # The clean-up needs more than one statement for all of these.
        database.execute(
            "INSERT INTO idempotency_keys SELECT owner_id, key || n, route, fingerprint,"
            " created_at, status, location, body FROM idempotency_keys, generate_series(1, 2500) n"
            " WHERE key = ?",
            old,
        )
        count = "SELECT count(*) FROM idempotency_keys WHERE key = ? OR key LIKE ?"
        server.restart()  # the clean-up runs first after a start
        eventually(lambda: database.query(count, young, f"{old}%") == [(1,)], within=SLOWEST)
        assert is_replayed(TODO.send(api, text, young))
        assert not is_replayed(TODO.send(api, text, old))
