"""Requirements 3.2, 3.3 and 3.5: a hash is slow on purpose, and a token expires.

Run with `-rP` (or open the JUnit report) to see the figures.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.tokens import claims_of, forge, good_claims
from course.harness.waiting import eventually, in_parallel
from tests.stage03.accounts import new_account, new_username, register, sign_in, token_of
from tests.stage03.figures import measure_the_list

pytestmark = [pytest.mark.craft, pytest.mark.alone]

REAL_COST = "12"  # rounds, the default: a hash takes a quarter of a second
AT_ONCE = 8
FEWEST_SAMPLES = 20
P95_BOUND = 150.0  # milliseconds more than idle; hashes in the event loop would add 250 or more
TURNS = 3


@pytest.fixture(scope="module")
def private_server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server with the real cost of a hash, and with tokens that last one second."""
    return launch_for_module(BCRYPT_ROUNDS=REAL_COST, ACCESS_TOKEN_TTL="1")


@pytest.fixture
def visitor(private_server: LaunchedServer) -> Iterator[Api]:
    """Return a driver of that server that is not signed in."""
    with Api(private_server) as visitor:
        yield visitor


@pytest.fixture
def api(visitor: Api, private_server: LaunchedServer) -> Api:
    """Return a driver of that server, with a token that lasts longer than the server allows."""
    user_id = register(visitor, new_username()).json()["id"]
    secret = private_server.settings["JWT_SECRET"]
    return visitor.with_token(forge(good_claims(user_id), secret))


@pytest.mark.requirement("3.2", "3.5")
def test_the_list_stays_fast_while_eight_users_sign_in(
    visitor: Api, api: Api, record_property: Callable[[str, object], None]
) -> None:
    username = new_account(visitor)
    answers: list[int] = []

    def all_at_once() -> None:
        signed_in = in_parallel(AT_ONCE, lambda _: sign_in(visitor, username).status_code)
        answers.extend(signed_in.results)

    figures = measure_the_list(api, all_at_once)
    figures.record(f"{AT_ONCE}_sign_ins", record_property)
    assert answers == [200] * AT_ONCE
    assert figures.busy_samples >= FEWEST_SAMPLES, figures
    assert figures.busy_p95 < figures.idle_p95 + P95_BOUND, figures


@pytest.mark.requirement("3.2")
def test_sign_in_times_do_not_reveal_which_names_exist(visitor: Api) -> None:
    """Otherwise the duration of a sign-in reveals which names exist. The bounds allow for noise."""
    username = new_account(visitor)
    took: dict[str, list[float]] = {"wrong password": [], "unknown name": []}
    for _ in range(TURNS):  # alternate, so that a busy moment delays both kinds
        for kind, name in (("wrong password", username), ("unknown name", new_username())):
            asked = time.monotonic()
            assert sign_in(visitor, name, "wrong password").status_code == 401
            took[kind].append(time.monotonic() - asked)
    usual, of_nobody = median(took["wrong password"]), median(took["unknown name"])
    assert usual / 2 < of_nobody < usual * 2, took


@pytest.mark.requirement("3.3")
@pytest.mark.contract("U9", "E26")
def test_a_token_expires_after_the_configured_time(visitor: Api, api: Api) -> None:
    username = new_account(visitor)
    answer = sign_in(visitor, username).json()
    claims = claims_of(answer["access_token"])
    assert claims["exp"] - claims["iat"] == answer["expires_in"] == 1

    def status(token: str) -> int:
        return visitor.with_token(token).request("GET", "/users/me").status_code

    eventually(lambda: status(token_of(visitor, username)) == 200)
    eventually(lambda: status(answer["access_token"]) == 401)
    assert status(api.token or "") == 200
