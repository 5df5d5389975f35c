"""Requirement C.12: the app waits for a missing database; meanwhile it answers only 503."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from course.harness.database import database_at
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.capstone.keys import TODO, new_key, new_text

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # they start their own database

CLIENTS = 8
LONGEST = 15.0  # seconds for an answer; the machine may be busy
BACK_WITHIN = 15.0  # seconds
PAUSE = 2.0  # seconds
KEPT = "SELECT count(*) FROM todos WHERE title = 'under load'"


@pytest.fixture(scope="module")
def server(launch_for_module: Launch, own_postgres: Postgres) -> LaunchedServer:
    """Return a server with a database that may stop; every test leaves both running."""
    settings = {"REDIS_URL": "", "DATABASE_URL": create_database(own_postgres.url)}
    return launch_for_module(start=True, **settings, DATABASE_STATEMENT_TIMEOUT="5")


class Load:
    """Clients that read and write repeatedly, and their answers."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._finished = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        self.answers: list[httpx.Response] = []
        self.seconds: list[float] = []
        self.errors: list[Exception] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        for thread in self._threads:
            thread.join()

    @property
    def statuses(self) -> Counter[int]:
        """Return how often each status occurred."""
        return Counter(answer.status_code for answer in self.answers)

    def _run(self) -> None:
        number = 0
        while not self._finished.is_set():
            number += 1
            began = time.monotonic()
            try:
                if number % 2:
                    answer = self._api.request("POST", "/todos", json={"title": "under load"})
                else:
                    answer = self._api.request("GET", "/jobs")  # this route is not cached
                self.answers.append(answer)
            except Exception as error:
                self.errors.append(error)
            self.seconds.append(time.monotonic() - began)


def restarted(postgres: Postgres) -> None:
    """Stop the database cleanly, and start it again."""
    postgres.restart()


def killed(postgres: Postgres) -> None:
    """Kill the database, and start it again."""
    postgres.kill()
    postgres.start()


def frozen(postgres: Postgres) -> None:
    """Suspend the database: connections stay open without an answer."""
    began = time.monotonic()
    postgres.pause()
    eventually(lambda: time.monotonic() > began + PAUSE, within=PAUSE + 5)
    postgres.resume()


@pytest.mark.requirement("C.12")
@pytest.mark.parametrize("happen", [restarted, killed, frozen])
def test_clients_get_only_503_until_the_database_is_back(
    server: LaunchedServer, own_postgres: Postgres, happen: Callable[[Postgres], None]
) -> None:
    pid, database = server.pid, database_at(server.settings["DATABASE_URL"])
    with Api(server) as visitor:
        api = visitor.as_new_user()
        ((kept_before,),) = database.query(KEPT)
        with Load(api) as load:
            eventually(lambda: load.statuses[200] > CLIENTS, within=30)
            happen(own_postgres)
            since = len(load.answers)
            eventually(
                lambda: Counter(a.status_code for a in load.answers[since:])[201] > CLIENTS,
                within=BACK_WITHIN,
            )
        for _ in range(CLIENTS):
            api.create_todo()
    assert load.errors == []
    assert set(load.statuses) <= {200, 201, 503}, load.statuses
    assert all("Retry-After" in a.headers for a in load.answers if a.status_code == 503)
    assert max(load.seconds) < LONGEST
    assert server.pid == pid
    assert server.exit_code is None
    # Every acknowledged todo is in the database.
    ((kept,),) = database.query(KEPT)
    assert kept - kept_before >= load.statuses[201]


@pytest.mark.requirement("C.12")
def test_a_failed_request_repeated_with_its_key_is_done_once(
    server: LaunchedServer, own_postgres: Postgres
) -> None:
    database = database_at(server.settings["DATABASE_URL"])
    with Api(server) as visitor:
        api = visitor.as_new_user()
        key, text = new_key(), new_text()
        restart = threading.Thread(target=own_postgres.restart)
        restart.start()

        def is_done() -> bool:
            return TODO.send(api, text, key).status_code == 201

        eventually(is_done, within=BACK_WITHIN)
        restart.join()
        eventually(is_done, within=BACK_WITHIN)
    assert TODO.times_done(database, text) == 1


@pytest.mark.requirement("C.12")
def test_a_starting_server_waits_for_the_database(
    server: LaunchedServer, own_postgres: Postgres
) -> None:
    server.stop()
    own_postgres.stop()
    start = threading.Thread(target=server.start)
    mark = server.log_mark()
    start.start()
    try:
        eventually(lambda: "The database does not answer" in server.log_since(mark), within=20)
    finally:
        own_postgres.start()
        start.join()
    with Api(server) as visitor:
        visitor.as_new_user().create_todo()
    assert "Traceback" not in server.log_since(mark)
