"""Requirement C.1: the number of sign-in attempts is limited by address and name.

The servers trust the tests' X-Forwarded-For like a proxy's, so each test uses its own
addresses.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import NO_REDIS, Redis, redis_is_available
from course.harness.waiting import eventually, in_parallel
from tests.stage03.accounts import PASSWORD, new_username, register

pytestmark = pytest.mark.craft

PER_NAME = 3  # attempts an hour
PER_ADDRESS = 10 * PER_NAME
RATE = f"{PER_NAME}/hour"
WRONG = "a wrong password"


@pytest.fixture(scope="module")
def limited(launch_for_module: Launch) -> Iterator[Api]:
    """Return a visitor of a server with low limits."""
    with Api(launch_for_module(RATE_LIMIT_AUTH=RATE)) as api:
        yield api


def new_address() -> str:
    """Return an address that no other test uses."""
    return "10." + ".".join(str(byte) for byte in secrets.token_bytes(3))


def new_network() -> str:
    """Return the first half of an IPv6 address that no other test uses."""
    return f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}"


def attempt(
    api: Api, address: str, username: str = "somebody", password: str = WRONG
) -> httpx.Response:
    """Try to sign in from this address."""
    return api.request(
        "POST",
        "/auth/token",
        data={"username": username, "password": password},
        headers={"X-Forwarded-For": address},
    )


def statuses(api: Api, count: int, address: str, username: str = "somebody") -> list[int]:
    """Return the statuses of `count` attempts, one after the other."""
    return [attempt(api, address, username).status_code for _ in range(count)]


def assert_refused(answer: httpx.Response, window: int = 3600) -> None:
    """Check for a 429 with the right `Retry-After`."""
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= window
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U13")
def test_too_many_attempts_are_refused_even_with_the_right_password(limited: Api) -> None:
    username, address = new_username(), new_address()
    assert register(limited, username).status_code == 201
    assert statuses(limited, PER_NAME, address, username) == [401] * PER_NAME
    assert_refused(attempt(limited, address, username, PASSWORD))


@pytest.mark.requirement("C.1")
def test_successful_sign_ins_within_the_limit_are_not_refused(limited: Api) -> None:
    username, address = new_username(), new_address()
    assert register(limited, username).status_code == 201
    for _ in range(PER_NAME):
        assert attempt(limited, address, username, PASSWORD).status_code == 200


@pytest.mark.requirement("C.1")
def test_the_limit_ignores_the_case_of_a_name(limited: Api) -> None:
    address = new_address()
    for username in ("Somebody", "SOMEBODY", "sOmEbOdY"):
        assert attempt(limited, address, username).status_code == 401
    assert_refused(attempt(limited, address, "somebody"))


@pytest.mark.requirement("C.1")
def test_attempts_from_another_address_do_not_lock_out_a_user(limited: Api) -> None:
    username, attacker = new_username(), new_address()
    assert register(limited, username).status_code == 201
    statuses(limited, PER_NAME + 1, attacker, username)
    assert attempt(limited, new_address(), username, PASSWORD).status_code == 200


@pytest.mark.requirement("C.1")
def test_each_name_is_counted_separately(limited: Api) -> None:
    address = new_address()
    assert statuses(limited, PER_NAME + 1, address, "one")[-1] == 429
    assert attempt(limited, address, "another").status_code == 401


@pytest.mark.requirement("C.1")
def test_the_number_of_names_from_one_address_is_limited(limited: Api) -> None:
    address = new_address()
    for number in range(PER_ADDRESS):
        assert attempt(limited, address, f"name{number}").status_code == 401
    assert_refused(attempt(limited, address, "one.more"))
    assert attempt(limited, new_address(), "one.more").status_code == 401


@pytest.mark.requirement("C.1")
def test_addresses_of_one_ipv6_network_count_as_one_client(limited: Api) -> None:
    network = new_network()
    for number in range(PER_NAME):
        assert attempt(limited, f"{network}::{number}").status_code == 401
    assert_refused(attempt(limited, f"{network}:ffff:ffff:ffff:ffff"))
    assert attempt(limited, f"{new_network()}::1").status_code == 401


@pytest.mark.requirement("C.1")
def test_an_ipv4_address_written_as_ipv6_counts_as_the_same_client(limited: Api) -> None:
    address = new_address()
    assert statuses(limited, PER_NAME, f"::ffff:{address}") == [401] * PER_NAME
    assert_refused(attempt(limited, address))
    assert attempt(limited, f"::ffff:{new_address()}").status_code == 401


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize(
    "address", ["", "unknown", "x" * 5000, "1.2.3.4:99999999", "[", "fe80::1%eth0"]
)
def test_an_unusual_address_is_limited(limited: Api, address: str) -> None:
    assert attempt(limited, address, new_username()).status_code == 401


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("username", ["\0", "\ud7ff\U0001f95b" * 100, "n" * 5_000])
def test_an_unusual_name_is_limited(limited: Api, username: str) -> None:
    assert statuses(limited, PER_NAME + 1, new_address(), username)[-1] == 429


@pytest.mark.requirement("C.1")
@pytest.mark.contract("U13")
def test_registrations_are_limited(limited: Api) -> None:
    headers = {"X-Forwarded-For": new_address()}

    def ask(username: str) -> httpx.Response:
        body = {"username": username, "password": PASSWORD}
        return limited.request("POST", "/auth/register", json=body, headers=headers)

    username = new_username()
    assert [ask(username).status_code for _ in range(PER_NAME)] == [201, 409, 409]
    assert_refused(ask(username))
    for _ in range(PER_ADDRESS - PER_NAME - 1):
        assert ask(new_username()).status_code == 201
    assert_refused(ask(new_username()))


@pytest.mark.requirement("C.1")
def test_token_refreshes_are_limited_by_address(limited: Api) -> None:
    headers = {"X-Forwarded-For": new_address()}

    def ask() -> httpx.Response:
        body = {"refresh_token": secrets.token_urlsafe(32)}
        return limited.request("POST", "/auth/refresh", json=body, headers=headers)

    assert {ask().status_code for _ in range(PER_ADDRESS)} == {401}
    assert_refused(ask())


@pytest.mark.requirement("C.1")
def test_the_metrics_count_refusals_by_limit(limited: Api) -> None:
    before = metric(limited, 'rate_limit_refusals_total{limit="sign_in"}')
    statuses(limited, PER_NAME + 2, new_address())
    assert metric(limited, 'rate_limit_refusals_total{limit="sign_in"}') == before + 2


def metric(api: Api, series: str) -> float:
    """Return the value of a series; 0 if it does not exist yet."""
    lines = api.request("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series + " "))


@pytest.mark.requirement("C.1")
def test_concurrent_attempts_are_all_counted(limited: Api) -> None:
    address = new_address()
    answers = in_parallel(12, lambda _: attempt(limited, address)).results
    assert [answer.status_code for answer in answers].count(401) == PER_NAME
    assert len(answers) == 12


@pytest.mark.requirement("C.1")
def test_a_client_that_waits_for_retry_after_is_accepted(launch: Launch) -> None:
    with Api(launch(RATE_LIMIT_AUTH="1/second")) as api:
        answers = in_parallel(8, lambda _: attempt(api, "10.0.0.1")).results
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert_refused(refused[-1], window=1)
        time.sleep(1)  # the value of Retry-After
        assert attempt(api, "10.0.0.1").status_code == 401


@pytest.mark.requirement("C.1")
def test_an_empty_setting_turns_a_limit_off(launch: Launch) -> None:
    with Api(launch(RATE_LIMIT_AUTH="")) as api:
        assert set(statuses(api, 30, "10.0.0.1")) == {401}


# --- Several processes


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Return a Redis that only this module uses; every test leaves it running."""
    if not redis_is_available():
        pytest.skip(NO_REDIS)
    redis = Redis(tmp_path_factory.mktemp("rate_limits") / "redis")
    redis.start()
    yield redis
    redis.process.end()


@pytest.fixture(scope="module")
def both(launch_for_module: Launch, redis: Redis) -> Iterator[tuple[Api, Api]]:
    """Return visitors of two processes with one database and one Redis."""
    settings = {"RATE_LIMIT_AUTH": RATE, "REDIS_URL": redis.url}
    first = launch_for_module(start=True, **settings)
    settings["DATABASE_URL"] = first.settings["DATABASE_URL"]
    second = launch_for_module(start=True, **settings)
    with Api(first) as one, Api(second) as another:
        yield one, another


@pytest.fixture
def two(both: tuple[Api, Api]) -> tuple[Api, Api]:
    """Return the visitors after the processes have started to count together."""
    eventually(lambda: count_together(both), within=10)
    return both


def count_together(two: tuple[Api, Api]) -> bool:
    """Return whether the second process knows the attempts at the first."""
    address = new_address()
    first = statuses(two[0], PER_NAME, address)
    return first == [401] * PER_NAME and attempt(two[1], address).status_code == 429


@pytest.mark.requirement("C.1")
def test_processes_count_together(two: tuple[Api, Api]) -> None:
    one, another = two
    address = new_address()
    assert statuses(one, PER_NAME - 1, address) == [401] * (PER_NAME - 1)
    assert attempt(another, address).status_code == 401
    for api in two:
        assert_refused(attempt(api, address))


@pytest.mark.requirement("C.1")
def test_redis_stores_no_name_and_every_key_expires(two: tuple[Api, Api], redis: Redis) -> None:
    redis.command("FLUSHALL")
    statuses(two[0], 2, new_address(), "a.name.to.look.for")
    script = "local k = redis.call('keys', 'LIMITS*'); return table.concat(k, ' ')"
    keys = redis.command("EVAL", script, "0").decode().split()
    assert len(keys) == 2
    for key in keys:
        assert "a.name" not in key
        assert 0 < int(redis.command("TTL", key)) <= 3600


@pytest.mark.requirement("C.1")
def test_each_process_counts_alone_without_redis(two: tuple[Api, Api], redis: Redis) -> None:
    username = new_username()
    assert register(two[0], username).status_code == 201
    address = new_address()
    failures = [metric(api, "rate_limit_failures_total") for api in two]
    redis.kill()
    for api, before in zip(two, failures, strict=True):
        assert attempt(api, address, username, PASSWORD).status_code == 200
        assert statuses(api, PER_NAME, address, username) == [401, 401, 429]
        assert metric(api, "rate_limit_failures_total") > before
    redis.start()
    eventually(lambda: count_together(two), within=10)


@pytest.mark.requirement("C.1")
def test_a_hanging_redis_delays_a_sign_in_only_briefly(two: tuple[Api, Api], redis: Redis) -> None:
    username = new_username()
    assert register(two[0], username).status_code == 201
    redis.pause()
    try:
        started = time.monotonic()
        assert attempt(two[0], new_address(), username, PASSWORD).status_code == 200
        assert time.monotonic() - started < 5
    finally:
        redis.resume()
