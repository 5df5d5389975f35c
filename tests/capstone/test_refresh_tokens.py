"""Row C.1: staying signed in by refresh tokens, each good for one use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import WORKER, celery_process
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually, in_parallel
from tests.stage03.accounts import PASSWORD, new_account, sign_in

pytestmark = pytest.mark.craft

UNKNOWN = "x" * 43


def refresh(api: Api, token: Any) -> httpx.Response:
    """Ask for the next tokens and return the answer, whatever it is."""
    return api.request("POST", "/auth/refresh", json={"refresh_token": token})


def refresh_one_of(api: Api, tokens: list[str], number: int) -> httpx.Response:
    """The same, for calls that are made at once."""
    return refresh(api, tokens[number])


def log_out(api: Api, token: Any) -> httpx.Response:
    """Log out and return the answer, whatever it is."""
    return api.request("POST", "/auth/logout", json={"refresh_token": token})


def refresh_token(answer: httpx.Response) -> str:
    """Return the refresh token in an answer that must have one."""
    assert answer.status_code == 200, answer.text
    token = answer.json()["refresh_token"]
    assert isinstance(token, str)
    return token


def new_token(api: Api) -> str:
    """Return the refresh token of a new user's first sign-in."""
    return refresh_token(sign_in(api, new_account(api)))


def assert_refused(answer: httpx.Response) -> None:
    """Check that the token was not believed, and that the answer says so as it should."""
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert isinstance(answer.json()["detail"], str)


# --- One use, one successor


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U12")
def test_a_refresh_token_gives_a_working_access_token(visitor: Api) -> None:
    username = new_account(visitor)
    first = sign_in(visitor, username).json()
    answer = refresh(visitor, first["refresh_token"])
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == first["expires_in"]
    assert tokens["access_token"] != first["access_token"]
    assert tokens["refresh_token"] != first["refresh_token"]
    me = visitor.with_token(tokens["access_token"]).request("GET", "/users/me")
    assert me.json()["username"] == username


@pytest.mark.requirement("C.1")
def test_no_answer_with_a_token_may_be_kept(visitor: Api) -> None:
    signed_in = sign_in(visitor, new_account(visitor))
    refreshed = refresh(visitor, refresh_token(signed_in))
    for answer in (signed_in, refreshed):
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.requirement("C.1")
def test_each_successor_is_good_for_one_use(visitor: Api) -> None:
    token = new_token(visitor)
    for _ in range(5):
        token = refresh_token(refresh(visitor, token))


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U12")
def test_using_one_twice_revokes_its_family(visitor: Api) -> None:
    stolen = new_token(visitor)
    successor = refresh_token(refresh(visitor, stolen))
    newest = refresh_token(refresh(visitor, successor))
    assert_refused(refresh(visitor, stolen))
    for token in (newest, successor, stolen):
        assert_refused(refresh(visitor, token))


@pytest.mark.requirement("C.1")
def test_other_sign_ins_are_other_families(visitor: Api) -> None:
    username = new_account(visitor)
    stolen = refresh_token(sign_in(visitor, username))
    elsewhere = refresh_token(sign_in(visitor, username))
    somebody_else = new_token(visitor)
    refresh_token(refresh(visitor, stolen))
    assert_refused(refresh(visitor, stolen))
    refresh_token(refresh(visitor, elsewhere))
    refresh_token(refresh(visitor, somebody_else))
    refresh_token(sign_in(visitor, username))


@pytest.mark.requirement("C.1")
def test_of_many_that_come_at_once_with_one_token_one_wins(visitor: Api) -> None:
    token = new_token(visitor)
    answers = in_parallel(8, lambda _: refresh(visitor, token)).results
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert_refused(refresh(visitor, refresh_token(winner)))


@pytest.mark.requirement("C.1")
def test_a_successor_that_is_made_during_the_revocation_is_worthless(visitor: Api) -> None:
    for _ in range(10):
        stolen = new_token(visitor)
        successor = refresh_token(refresh(visitor, stolen))
        answers = in_parallel(2, partial(refresh_one_of, visitor, [successor, stolen])).results
        assert_refused(answers[1])
        newest = refresh_token(answers[0]) if answers[0].status_code == 200 else successor
        assert_refused(refresh(visitor, newest))


# --- Logging out


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U12")
def test_logging_out_ends_the_family(visitor: Api) -> None:
    first = new_token(visitor)
    second = refresh_token(refresh(visitor, first))
    answer = log_out(visitor, second)
    assert answer.status_code == 204
    assert answer.content == b""
    assert_refused(refresh(visitor, second))


@pytest.mark.requirement("C.1")
def test_a_token_that_was_used_logs_out_too(visitor: Api) -> None:
    first = new_token(visitor)
    second = refresh_token(refresh(visitor, first))
    assert log_out(visitor, first).status_code == 204
    assert_refused(refresh(visitor, second))


@pytest.mark.requirement("C.1")
def test_logging_out_again_or_with_an_unknown_token_is_fine(visitor: Api) -> None:
    token = new_token(visitor)
    for _ in range(2):
        assert log_out(visitor, token).status_code == 204
    assert log_out(visitor, UNKNOWN).status_code == 204


@pytest.mark.requirement("C.1")
def test_logging_out_ends_only_this_sign_in(visitor: Api) -> None:
    username = new_account(visitor)
    here, elsewhere = (refresh_token(sign_in(visitor, username)) for _ in range(2))
    assert log_out(visitor, here).status_code == 204
    refresh_token(refresh(visitor, elsewhere))


# --- What is no refresh token


@pytest.mark.requirement("C.1")
def test_an_unknown_token_is_refused(visitor: Api) -> None:
    assert_refused(refresh(visitor, UNKNOWN))


@pytest.mark.requirement("C.1")
def test_access_and_refresh_tokens_do_not_stand_for_each_other(visitor: Api) -> None:
    tokens = sign_in(visitor, new_account(visitor)).json()
    assert_refused(refresh(visitor, tokens["access_token"]))
    me = visitor.with_token(tokens["refresh_token"]).request("GET", "/users/me")
    assert_refused(me)


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize(
    "wrong",
    [None, 1, True, [], {}, "", "x\0", "\0", "é" * 43, "x" * 5_000, ["x" * 43]],
)
@pytest.mark.parametrize("send", [refresh, log_out])
def test_what_cannot_be_a_token_is_invalid_input(visitor: Api, send: Any, wrong: Any) -> None:
    assert send(visitor, wrong).status_code == 422


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b'{"refresh_token": "\\ud800"}',
        b'{"refresh_token": NaN}',
        b"\xff",
    ],
)
def test_a_strange_body_is_invalid_input(visitor: Api, path: str, body: bytes) -> None:
    assert visitor.request("POST", path, content=body).status_code == 422


# --- Time, restarts and what is stored


@pytest.mark.requirement("C.1")
def test_a_family_ends_at_its_time_however_often_it_was_used(launch: Launch) -> None:
    with Api(launch(REFRESH_TOKEN_TTL="3")) as api:
        signed_in = sign_in(api, new_account(api))
        assert signed_in.json()["refresh_expires_in"] == 3
        started, token = time.monotonic(), refresh_token(signed_in)
        answer = refresh(api, token)
        assert answer.json()["refresh_expires_in"] <= 3
        while answer.status_code == 200:
            assert time.monotonic() - started < 10
            time.sleep(0.2)  # a client in a hurry: each use is followed by the next
            answer = refresh(api, refresh_token(answer))
        assert_refused(answer)
        assert time.monotonic() - started > 2


@pytest.mark.requirement("C.1")
def test_a_restart_loses_no_token_and_forgives_no_second_use(launch: Launch) -> None:
    server = launch()
    with Api(server) as api:
        used = new_token(api)
        unused = refresh_token(refresh(api, used))
        other = new_token(api)
        server.restart()
        refresh_token(refresh(api, other))
        assert_refused(refresh(api, used))
        assert_refused(refresh(api, unused))


@pytest.mark.requirement("C.1")
def test_expired_tokens_are_removed_and_others_stay(launch: Launch) -> None:
    server = launch(REFRESH_TOKEN_TTL="1")
    with Api(server) as api:
        username = new_account(api)
        refresh_token(refresh(api, refresh_token(sign_in(api, username))))
        server.settings["REFRESH_TOKEN_TTL"] = "1000"
        server.restart()
        kept = refresh_token(sign_in(api, username))
        with cleaner(server) as clean_up:

            def one_is_left() -> bool:
                clean_up()
                return eventually(lambda: stored_tokens(server) == 1, within=2)

            eventually(one_is_left, within=30)
        refresh_token(refresh(api, kept))


@contextmanager
def cleaner(server: LaunchedServer) -> Iterator[Callable[[], object]]:
    """Give what makes the app remove what is old, now rather than by the clock."""
    if "REDIS_URL" not in server.settings:
        yield server.restart  # it does so at the start, too
        return
    logs = server.log_file
    worker = celery_process(server, logs.with_name("worker.log"), *WORKER)
    call = celery_process(server, logs.with_name("call.log"), "call", "clean_up")

    def ask_the_worker() -> None:
        call.start()
        eventually(lambda: call.exit_code is not None, within=30)
        call.end()

    worker.start()
    try:
        yield ask_the_worker
    finally:
        call.end()
        worker.end()


def stored_tokens(server: LaunchedServer) -> int:
    """Return how many refresh tokens the database has."""
    ((count,),) = server.database.query("SELECT count(*) FROM refresh_tokens")
    assert isinstance(count, int)
    return count


@pytest.mark.requirement("C.1")
def test_no_token_is_in_the_database_or_the_log(launched_server: LaunchedServer) -> None:
    with Api(launched_server) as api:
        first = refresh_token(sign_in(api, new_account(api), PASSWORD))
        second = refresh_token(refresh(api, first))
        refresh(api, first)
    assert stored_tokens(launched_server) >= 2
    stored = launched_server.database.text().lower()
    for token in (first, second):
        assert token.lower() not in stored
        assert token.encode().hex() not in stored
        assert token not in launched_server.log_text()
