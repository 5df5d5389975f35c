"""Requirement C.1: an operator replaces `JWT_SECRET` on two replicas, and nobody is signed out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer, ServerDidNotStart
from tests.stage03.accounts import new_account, token_of
from tests.stage08.chat import refusal

# Both forms read and use their secrets in the same way.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
# Each restart: the number of the replica, the secret that signs, and the accepted ones.
RESTARTS = [(0, OLD, NEW), (1, OLD, NEW), (0, NEW, OLD), (1, NEW, OLD)]


@pytest.fixture
def replicas(launch: Launch) -> Iterator[tuple[Api, Api]]:
    """Yield drivers of two servers with one database and the old secret."""
    first = launch(JWT_SECRET=OLD)
    second = launch(JWT_SECRET=OLD, DATABASE_URL=first.settings["DATABASE_URL"])
    with Api(first) as one, Api(second) as other:
        yield one, other


def restart(api: Api, signing: str, accepted: str) -> None:
    """Restart the server of this driver with other secrets."""
    assert isinstance(api.server, LaunchedServer)
    api.server.settings |= {"JWT_SECRET": signing, "JWT_SECRET_FALLBACKS": accepted}
    api.server.restart()


def is_accepted(api: Api, token: str) -> bool:
    """Return whether the token is valid for a request and for the chat."""
    status = api.with_token(token).request("GET", "/users/me").status_code
    socket = refusal(api, header=f"Bearer {token}")
    assert (status, bool(socket)) in {(200, False), (401, True)}
    return status == 200


@pytest.mark.requirement("C.1")
def test_a_rotation_of_the_secret_signs_nobody_out(replicas: tuple[Api, Api]) -> None:
    username = new_account(replicas[0])
    tokens = [token_of(api, username) for api in replicas]
    for number, signing, accepted in RESTARTS:
        restart(replicas[number], signing, accepted)
        tokens += [token_of(api, username) for api in replicas]
        assert [is_accepted(api, token) for api in replicas for token in tokens] == [True] * (
            2 * len(tokens)
        )
    restart(replicas[0], NEW, "")
    assert not is_accepted(replicas[0], tokens[0]), "the old secret has ended"
    assert is_accepted(replicas[0], tokens[-1])


@pytest.mark.requirement("C.1")
def test_production_refuses_a_weak_fallback(launch: Launch) -> None:
    weak = "short"
    server = launch(start=False, ENVIRONMENT="production", JWT_SECRET_FALLBACKS=f"{NEW},{weak}")
    with pytest.raises(ServerDidNotStart) as stopped:
        server.start()
    (line,) = [line for line in stopped.value.log.splitlines() if "Wrong settings" in line]
    assert "JWT_SECRET_FALLBACKS" in line
    assert weak not in stopped.value.log
    assert NEW not in stopped.value.log
