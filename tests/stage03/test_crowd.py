"""Requirement 3.2: many sign-ins from one address delay only that address.

After a change of `BCRYPT_ROUNDS`, the time of a sign-in still does not tell which names exist.
"""

import sys
import time
from collections.abc import Iterator
from statistics import median

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage03.accounts import PASSWORD, new_account, new_username, sign_in

pytestmark = pytest.mark.craft

CROWD = 60
SLOW = "10"  # rounds: a hash takes a sixteenth of a second
CHEAP = "6"  # a sixteenth of that
REFUSED_WITHIN = 2.0  # seconds
TURNS = 5


@pytest.fixture(scope="module")
def slow_server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server whose hashes take long."""
    return launch_for_module(BCRYPT_ROUNDS=SLOW)


@pytest.fixture
def visitor(slow_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of that server that is not signed in."""
    with Api(slow_server) as visitor:
        yield visitor


def sign_in_from(address: str, api: Api, username: str) -> tuple[int, float]:
    """Sign in from a given local address; return the status and the duration in seconds."""
    transport = httpx.HTTPTransport(local_address=address)
    form = {"username": username, "password": PASSWORD}
    asked = time.monotonic()
    with httpx.Client(transport=transport, timeout=60) as client:
        answer = client.post(f"{api.base_url}/auth/token", data=form)
    return answer.status_code, time.monotonic() - asked


@pytest.mark.requirement("3.2")
@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one loopback address")
def test_many_sign_ins_from_one_address_do_not_delay_another(visitor: Api) -> None:
    username = new_account(visitor)
    alone = median(sign_in_from("127.0.0.2", visitor, username)[1] for _ in range(TURNS))
    beside: list[tuple[int, float]] = []

    def crowd(number: int) -> tuple[httpx.Response, float] | None:
        if number == CROWD:
            time.sleep(4 * alone)  # the many sign-ins start first
            beside.append(sign_in_from("127.0.0.2", visitor, username))
            return None
        asked = time.monotonic()
        answer = sign_in(visitor, new_username(), "wrong password")
        return answer, time.monotonic() - asked

    outcome = in_parallel(CROWD + 1, crowd)
    assert not outcome.errors
    assert {status for status, _ in beside} == {200}
    # At worst, one running hash has to end first; waiting for all of them takes 60 times as long.
    assert beside[0][1] < 5 * alone + 0.5, (alone, beside)
    answers = [result for result in outcome.results if result is not None]
    refused = [(answer, took) for answer, took in answers if answer.status_code in (429, 503)]
    assert {answer.status_code for answer, _ in answers} <= {401, 429, 503}
    assert refused
    for answer, took in refused:
        assert int(answer.headers["retry-after"]) > 0
        assert isinstance(answer.json()["detail"], str)
        assert took < REFUSED_WITHIN + 5 * alone


def times_of_wrong_passwords(api: Api, *usernames: str) -> list[float]:
    """Return the durations of sign-ins with a wrong password, alternating between the names."""
    took: list[list[float]] = [[] for _ in usernames]
    for _ in range(TURNS):
        for times, username in zip(took, usernames, strict=True):
            asked = time.monotonic()
            assert sign_in(api, username, "wrong password").status_code == 401
            times.append(time.monotonic() - asked)
    return [median(times) for times in took]


@pytest.mark.requirement("3.5")
@pytest.mark.alone
@pytest.mark.parametrize(("before", "after"), [(CHEAP, SLOW), (SLOW, CHEAP)])
def test_sign_in_times_do_not_reveal_names_after_a_cost_change(
    launch: Launch, before: str, after: str
) -> None:
    server = launch(BCRYPT_ROUNDS=before)
    with Api(server) as visitor:
        names = [new_account(visitor) for _ in range(2)]
    server.stop()
    server.settings["BCRYPT_ROUNDS"] = after
    server.start()
    with Api(server) as visitor:
        names.append(new_account(visitor))
        old, _, new, nobody = times_of_wrong_passwords(visitor, *names, new_username())
        assert nobody / 2 < old < nobody * 2, (old, new, nobody)
        assert nobody / 2 < new < nobody * 2, (old, new, nobody)


@pytest.mark.requirement("3.5")
@pytest.mark.slow
def test_sign_in_rehashes_a_password_of_another_cost(launch: Launch) -> None:
    server = launch(BCRYPT_ROUNDS="4")
    with Api(server) as visitor:
        names = [new_account(visitor) for _ in range(2)]
    server.stop()
    server.settings["BCRYPT_ROUNDS"] = "5"
    server.start()
    with Api(server) as visitor:
        assert sign_in(visitor, names[0], "wrong password").status_code == 401
        assert [cost_of(server, name) for name in names] == [4, 4]
        for _ in range(2):
            assert sign_in(visitor, names[0]).status_code == 200
        assert [cost_of(server, name) for name in names] == [5, 4]


def cost_of(server: LaunchedServer, username: str) -> int:
    """Return the cost of a user's hash, read from the database."""
    ((stored,),) = server.database.query(
        "SELECT password_hash FROM users WHERE username_folded = ?", username.lower()
    )
    return int(str(stored).split("$")[2])
