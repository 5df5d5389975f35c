"""Requirement C.1: refresh tokens keep a user signed in; each works once."""

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
    """Send a refresh token and return the answer, also when it is an error."""
    return api.request("POST", "/auth/refresh", json={"refresh_token": token})


def refresh_one_of(api: Api, tokens: list[str], number: int) -> httpx.Response:
    """Send one of the tokens, for concurrent calls."""
    return refresh(api, tokens[number])


def log_out(api: Api, token: Any) -> httpx.Response:
    """Log out and return the answer, also when it is an error."""
    return api.request("POST", "/auth/logout", json={"refresh_token": token})


def refresh_token(answer: httpx.Response) -> str:
    """Return the refresh token of an answer, which must contain one."""
    assert answer.status_code == 200, answer.text
    token = answer.json()["refresh_token"]
    assert isinstance(token, str)
    return token


def new_token(api: Api) -> str:
    """Return the refresh token of a new user's first sign-in."""
    return refresh_token(sign_in(api, new_account(api)))


def assert_refused(answer: httpx.Response) -> None:
    """Check for a correct 401."""
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert isinstance(answer.json()["detail"], str)


# --- Single use


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U12")
def test_a_refresh_token_returns_a_working_access_token(visitor: Api) -> None:
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
def test_answers_with_a_token_forbid_caching(visitor: Api) -> None:
    signed_in = sign_in(visitor, new_account(visitor))
    refreshed = refresh(visitor, refresh_token(signed_in))
    for answer in (signed_in, refreshed):
        assert "no-store" in answer.headers["cache-control"]


@pytest.mark.requirement("C.1")
def test_each_new_refresh_token_works_once(visitor: Api) -> None:
    token = new_token(visitor)
    for _ in range(5):
        token = refresh_token(refresh(visitor, token))


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U12")
def test_reusing_a_refresh_token_revokes_its_family(visitor: Api) -> None:
    stolen = new_token(visitor)
    successor = refresh_token(refresh(visitor, stolen))
    newest = refresh_token(refresh(visitor, successor))
    assert_refused(refresh(visitor, stolen))
    for token in (newest, successor, stolen):
        assert_refused(refresh(visitor, token))


@pytest.mark.requirement("C.1")
def test_each_sign_in_has_its_own_token_family(visitor: Api) -> None:
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
def test_concurrent_uses_of_one_refresh_token_succeed_once(visitor: Api) -> None:
    token = new_token(visitor)
    answers = in_parallel(8, lambda _: refresh(visitor, token)).results
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert_refused(refresh(visitor, refresh_token(winner)))


@pytest.mark.requirement("C.1")
def test_a_token_issued_during_the_revocation_is_invalid(visitor: Api) -> None:
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
def test_logging_out_revokes_the_token_family(visitor: Api) -> None:
    first = new_token(visitor)
    second = refresh_token(refresh(visitor, first))
    answer = log_out(visitor, second)
    assert answer.status_code == 204
    assert answer.content == b""
    assert_refused(refresh(visitor, second))


@pytest.mark.requirement("C.1")
def test_a_used_refresh_token_can_log_out(visitor: Api) -> None:
    first = new_token(visitor)
    second = refresh_token(refresh(visitor, first))
    assert log_out(visitor, first).status_code == 204
    assert_refused(refresh(visitor, second))


@pytest.mark.requirement("C.1")
def test_logging_out_again_or_with_an_unknown_token_succeeds(visitor: Api) -> None:
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


# --- Invalid refresh tokens


@pytest.mark.requirement("C.1")
def test_an_unknown_refresh_token_gets_401(visitor: Api) -> None:
    assert_refused(refresh(visitor, UNKNOWN))


@pytest.mark.requirement("C.1")
def test_access_and_refresh_tokens_are_not_interchangeable(visitor: Api) -> None:
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
def test_a_malformed_refresh_token_gets_422(visitor: Api, send: Any, wrong: Any) -> None:
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
def test_a_malformed_body_gets_422(visitor: Api, path: str, body: bytes) -> None:
    assert visitor.request("POST", path, content=body).status_code == 422


# --- Expiry, restarts and stored data


@pytest.mark.requirement("C.1")
def test_a_token_family_expires_despite_refreshes(launch: Launch) -> None:
    with Api(launch(REFRESH_TOKEN_TTL="3")) as api:
        signed_in = sign_in(api, new_account(api))
        assert signed_in.json()["refresh_expires_in"] == 3
        started, token = time.monotonic(), refresh_token(signed_in)
        answer = refresh(api, token)
        assert answer.json()["refresh_expires_in"] <= 3
        while answer.status_code == 200:
            assert time.monotonic() - started < 10
            time.sleep(0.2)  # each new token is used soon after it was issued
            answer = refresh(api, refresh_token(answer))
        assert_refused(answer)
        assert time.monotonic() - started > 2


@pytest.mark.requirement("C.1")
def test_a_restart_keeps_tokens_and_still_detects_reuse(launch: Launch) -> None:
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
def test_only_expired_tokens_are_removed(launch: Launch) -> None:
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
    """Yield a function that makes the app remove old rows now."""
    if "REDIS_URL" not in server.settings:
        yield server.restart  # the clean-up runs at the start
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
    """Return the number of refresh tokens in the database."""
    ((count,),) = server.database.query("SELECT count(*) FROM refresh_tokens")
    assert isinstance(count, int)
    return count


@pytest.mark.requirement("C.1")
def test_the_database_and_the_log_contain_no_token(launched_server: LaunchedServer) -> None:
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
