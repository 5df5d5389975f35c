"""Requirements 8.3 to 8.6 on a second server: stop, kill, stored messages, and the log."""

from __future__ import annotations

import time

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.tokens import claims_of, forge
from tests.stage08.chat import (
    Person,
    cores,
    everything_after,
    new_text,
    open_socket,
    person,
    refusal,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

STOPPED = {1012, 1001}
LIFETIME = 2  # seconds that a token is valid
TOLERANCE = 5.0  # seconds after the expiry until the socket must be closed


@pytest.mark.requirement("8.4")
@pytest.mark.contract("C14")
def test_a_stopping_server_closes_every_socket(restartable: LaunchedServer) -> None:
    with (
        Api(restartable) as visitor,
        person(visitor.as_new_user()) as ada,
        person(visitor.as_new_user()) as bob,
    ):
        ada.tell(new_text())
        restartable.stop()
        assert {ada.close_code(), bob.close_code()} <= STOPPED


@pytest.mark.requirement("8.5")
@pytest.mark.contract("C5", "C11", "E28")
def test_the_history_survives_a_restart(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        with person(api) as ada:
            said = [ada.tell(new_text()) for _ in range(3)]
        restartable.restart()
        assert cores(everything_after(api, said[0]["id"] - 1)) == cores(said)


@pytest.mark.requirement("8.3")
@pytest.mark.contract("C5", "E28")
def test_a_broadcast_message_survives_a_kill(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
        with person(api) as ada:
            said = [ada.tell(new_text()) for _ in range(3)]
            restartable.kill()
        restartable.start()
        assert cores(everything_after(api, said[0]["id"] - 1)) == cores(said)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C1")
def test_a_token_in_the_url_is_not_logged(restartable: LaunchedServer) -> None:
    with Api(restartable) as visitor:
        api = visitor.as_new_user()
    mark = restartable.log_mark()
    assert api.token
    assert refusal(restartable, query=f"?token={api.token}") == 0
    restartable.restart()  # the server has written its whole log then
    assert api.token.rpartition(".")[2] not in restartable.log_since(mark)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C14")
def test_a_socket_closes_when_its_token_expires(api: Api, secret: str) -> None:
    expires_at = int(time.time()) + LIFETIME
    token = forge(claims_of(api.token or "") | {"exp": expires_at}, secret)
    if api.with_token(token).request("GET", "/users/me").status_code != 200:
        pytest.skip("not checked: the server rejects every token that it did not issue itself")
    with open_socket(api, header=f"Bearer {token}") as socket:
        assert Person(api, socket).close_code(within=LIFETIME + TOLERANCE) == 1008
