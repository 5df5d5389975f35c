"""How connections end, and which data survives: expiry, stop, kill, a lock, a deleted user."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.tokens import forge, good_claims
from course.harness.waiting import in_parallel
from tests.stage08.chat import everything_after, history, new_text, person, who_is

pytestmark = pytest.mark.craft

STOPPED = {1012, 1001}
STOP_WITHIN = 5.0  # seconds
LIFETIME = 3  # seconds that a token is valid
# Seconds that a write waits for a lock: SQLite's setting and PostgreSQL's.
IMPATIENT = {"DATABASE_BUSY_TIMEOUT": "2", "DATABASE_STATEMENT_TIMEOUT": "2"}


@pytest.fixture(scope="module")
def private_server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server that tests of this file stop and kill; each test leaves it running."""
    return launch_for_module(start=True, **IMPATIENT)


@pytest.fixture
def server(private_server: LaunchedServer) -> Iterator[LaunchedServer]:
    """Return that server; it must not log a traceback."""
    mark = private_server.log_mark()
    yield private_server
    assert "Traceback" not in private_server.log_since(mark)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C14")
def test_the_socket_closes_when_the_token_expires(api: Api, server: LaunchedServer) -> None:
    expires_at = int(time.time()) + LIFETIME
    claims = good_claims(who_is(api)["id"]) | {"exp": expires_at}
    token = forge(claims, server.settings["JWT_SECRET"])
    with person(api.with_token(token)) as ada:
        assert ada.tell(new_text())
        assert ada.close_code() == 1008
        assert expires_at - 0.5 < time.time() < expires_at + 10


@pytest.mark.requirement("8.4")
@pytest.mark.contract("C14")
def test_a_stopping_server_closes_all_sockets_with_a_code(server: LaunchedServer) -> None:
    with ExitStack() as stack:
        visitor = stack.enter_context(Api(server))
        people = [stack.enter_context(person(visitor.as_new_user())) for _ in range(20)]
        people[0].tell(new_text())
        asked = time.monotonic()
        server.stop()
        assert time.monotonic() - asked < STOP_WITHIN
        assert {somebody.close_code() for somebody in people} <= STOPPED
    server.start()


@pytest.mark.requirement("8.3")
@pytest.mark.contract("C5", "C12")
def test_an_acknowledged_message_survives_a_kill(server: LaunchedServer) -> None:
    with Api(server) as visitor:
        api, reader = visitor.as_new_user(), visitor.as_new_user()
        with person(api) as ada, person(reader) as bob:
            seen = bob.message(ada.tell(new_text())["text"])
            bob.socket.close()
            acknowledged = [ada.tell(new_text()) for _ in range(10)]
            server.kill()
            with pytest.raises(ConnectionClosed):
                ada.receive(lambda _: False)
        server.start()
        assert everything_after(reader, seen["id"]) == acknowledged
        with person(api) as ada:
            again = acknowledged[-1]["text"]
            assert ada.tell(new_text())["id"] > acknowledged[-1]["id"]
            assert again in [message["text"] for message in history(api)]


@pytest.mark.requirement("8.3")
def test_a_kill_during_a_busy_chat_neither_loses_nor_repeats_a_message(
    server: LaunchedServer,
) -> None:
    with Api(server) as visitor:
        apis = [visitor.as_new_user() for _ in range(5)]
        run = new_text()
        with ExitStack() as stack:
            people = [stack.enter_context(person(api)) for api in apis]
            for number, somebody in enumerate(people):
                for count in range(10):
                    somebody.say(f"{run} {number} {count}", client_id=f"{run} {count}")
            people[0].message(f"{run} 0 3")
            server.kill()
        server.start()
        with ExitStack() as stack:
            people = [stack.enter_context(person(api)) for api in apis]

            def send_again(number: int) -> None:
                for count in range(10):
                    people[number].tell(f"{run} {number} {count}", client_id=f"{run} {count}")

            assert in_parallel(len(people), send_again).errors == []
        texts = [message["text"] for message in everything_after(apis[0], 0)]
        ours = sorted(text for text in texts if text.startswith(run))
        assert ours == [f"{run} {number} {count}" for number in range(5) for count in range(10)]


@pytest.mark.requirement("8.4")
def test_a_locked_database_causes_an_error_and_keeps_the_socket_open(
    server: LaunchedServer,
) -> None:
    with Api(server) as visitor, person(visitor.as_new_user()) as ada:
        text, before = new_text(), history(ada.api)
        with server.database.write_lock():
            ada.say(text, client_id=text)
            assert "try again" in ada.error()["detail"]
        assert history(ada.api) == before
        stored = ada.tell(text, client_id=text)
        assert history(ada.api, limit=1) == [stored]


@pytest.mark.requirement("8.6")
def test_the_socket_of_a_deleted_user_is_closed(server: LaunchedServer) -> None:
    with Api(server) as visitor:
        api, other = visitor.as_new_user(), visitor.as_new_user()
        before = history(other)
        with person(other) as bob, person(api) as ada:
            server.database.execute("DELETE FROM users WHERE id = ?", ada.user["id"])
            ada.say(new_text())
            assert ada.close_code() == 1008
            bob.presence("left", ada.user)
            assert history(other) == before
            assert bob.tell(new_text())


@pytest.mark.requirement("8.7")
def test_every_stored_message_is_broadcast_after_its_author_left(
    server: LaunchedServer,
) -> None:
    with Api(server) as visitor, person(visitor.as_new_user()) as bob:
        api, first = visitor.as_new_user(), bob.tell(new_text())
        with server.database.write_lock():
            with person(api) as ada:
                ada.say("the last word")
                ada.socket.socket.close()
            with person(api):  # the server sends to the closed socket and notices that it is gone
                pass
        heard = [frame["text"] for frame in bob.settle() if frame["type"] == "message"]
        stored = everything_after(bob.api, first["id"])
        assert heard == [first["text"], *(message["text"] for message in stored)]


@pytest.mark.requirement("8.1")
@pytest.mark.craft("C19")
def test_heartbeats_come_while_nobody_writes(launch: Launch) -> None:
    server = launch(CHAT_HEARTBEAT="0.5")
    with Api(server) as visitor, person(visitor.as_new_user()) as ada:
        for _ in range(3):
            heartbeat = ada.receive(lambda frame: frame["type"] == "heartbeat")
            assert heartbeat == {"type": "heartbeat", "interval": 0.5}
