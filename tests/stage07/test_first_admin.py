"""Requirement 7.3: the settings create the first administrator once, and one always remains."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import FIRST_ADMIN, LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in
from tests.stage07.people import Json, Person, expect, first_admin, give_role, new_person
from tests.stage07.test_roles import everybody

pytestmark = pytest.mark.craft

NAME, PASSWORD = FIRST_ADMIN
SECRET = "only-for-the-first-admin-93c1"
USERS = "SELECT id, username, role, password_hash FROM users ORDER BY id"

# Invalid settings, and the names that the error line must contain.
WRONG: dict[str, tuple[dict[str, str], list[str]]] = {
    "a name only": ({NAME: "boss", PASSWORD: ""}, [PASSWORD]),
    "a password only, which bcrypt would cut": (
        {NAME: "", PASSWORD: SECRET * 3},
        [NAME, PASSWORD],
    ),
    "a name that is not allowed": ({NAME: "the boss!", PASSWORD: SECRET}, [NAME]),
}
ROUNDS = 20

Refused = dict[str, LaunchedServer]


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> Refused:
    """Return all servers with invalid settings after their attempts to start."""
    servers = {
        problem: launch_for_module(start=False, **settings)
        for problem, (settings, _) in WRONG.items()
    }
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("7.3")
@pytest.mark.parametrize("problem", WRONG)
def test_a_server_with_an_invalid_admin_setting_exits_and_names_it(
    refused: Refused, problem: str, stage: int
) -> None:
    server = refused[problem]
    assert server.exit_code not in (0, None)
    log = server.log_text()
    reason = reason_in(log, stage)
    assert {name for name in FIRST_ADMIN if name in reason} == set(WRONG[problem][1])
    assert SECRET not in log


def admins(admin: Person) -> list[Json]:
    """Return all administrators."""
    return [somebody for somebody in everybody(admin) if somebody["role"] == "admin"]


@dataclass(frozen=True)
class Twins:
    """Two processes that started at the same time on one new database."""

    first: LaunchedServer
    second: LaunchedServer


@pytest.fixture(scope="module")
def twins(launch_for_module: Launch) -> Twins:
    """Return both processes, running."""
    first, second = launch_for_module(start=False), launch_for_module(start=False)
    second.settings["DATABASE_URL"] = first.settings["DATABASE_URL"]
    outcomes = in_parallel(2, lambda number: (first, second)[number].start())
    assert outcomes.errors == []
    return Twins(first, second)


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B3", "E26")
def test_two_processes_that_start_together_create_one_administrator(twins: Twins) -> None:
    found = twins.first.database.query("SELECT username FROM users WHERE role = 'admin'")
    assert found == [(FIRST_ADMIN[NAME],)]
    for server in (twins.first, twins.second):
        with Api(server) as visitor:
            assert first_admin(server, visitor).username == FIRST_ADMIN[NAME]


@pytest.mark.requirement("7.3")
def test_the_log_contains_neither_the_password_nor_its_hash(twins: Twins) -> None:
    ((password_hash,),) = twins.first.database.query(
        "SELECT password_hash FROM users WHERE username = ?",
        FIRST_ADMIN[NAME],
    )
    assert password_hash.startswith("$2b$")
    for server in (twins.first, twins.second):
        log = server.log_text()
        assert FIRST_ADMIN[PASSWORD] not in log
        assert password_hash not in log
        assert "Traceback" not in log


@pytest.fixture
def only_admin(twins: Twins) -> Iterator[Person]:
    """Return the only administrator in the database of the two processes."""
    with Api(twins.first) as visitor:
        administrator = first_admin(twins.first, visitor)
        yield administrator
        for somebody in admins(administrator):
            if somebody["id"] != administrator.id:
                path = f"/users/{somebody['id']}/role"
                expect(200, administrator.api, "PUT", path, json={"role": "user"})


@pytest.mark.requirement("7.3")
def test_a_restart_changes_no_account_if_an_administrator_exists(
    twins: Twins, only_admin: Person
) -> None:
    database, server = twins.first.database, twins.second
    successor = new_person(only_admin.api, only_admin, "admin")
    give_role(successor, only_admin, "user")
    try:
        before = database.query(USERS)
        server.settings[PASSWORD] = SECRET  # not the password of the existing administrator
        server.restart()
        assert database.query(USERS) == before
        assert expect(200, only_admin.api, "GET", "/users/me")["role"] == "user"
        assert SECRET not in server.log_text()
    finally:
        server.settings |= FIRST_ADMIN
        give_role(successor, only_admin, "admin")


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11")
def test_the_last_administrator_cannot_be_demoted(only_admin: Person) -> None:
    path = f"/users/{only_admin.id}/role"
    for role in ("user", "author"):
        detail = expect(409, only_admin.api, "PUT", path, json={"role": role})["detail"]
        assert isinstance(detail, str)
    give_role(only_admin, only_admin, "admin")  # assigning the same role is allowed
    assert [somebody["id"] for somebody in admins(only_admin)] == [only_admin.id]


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11")
@pytest.mark.own_stage
def test_the_only_administrator_cannot_demote_themselves(restartable: LaunchedServer) -> None:
    """The test needs its own server: a shared one may have other administrators."""
    with Api(restartable) as visitor:
        administrator = first_admin(restartable, visitor)
        path = f"/users/{administrator.id}/role"
        for role in ("user", "author"):
            expect(409, administrator.api, "PUT", path, json={"role": role})
        assert expect(200, administrator.api, "GET", "/users/me")["role"] == "admin"


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11")
def test_one_of_two_administrators_can_demote_themselves(only_admin: Person) -> None:
    second = new_person(only_admin.api, only_admin, "admin")
    expect(200, second.api, "PUT", f"/users/{second.id}/role", json={"role": "user"})
    expect(409, only_admin.api, "PUT", f"/users/{only_admin.id}/role", json={"role": "user"})


@pytest.mark.requirement("7.3")
@pytest.mark.own_stage("app/users/", "app/auth/")
@pytest.mark.parametrize("each", ["the other", "themselves"])
def test_two_concurrent_demotions_leave_one_administrator(
    twins: Twins, only_admin: Person, each: str
) -> None:
    second = new_person(only_admin.api, only_admin, "admin")
    both = (only_admin, second)
    # Each request goes to its own process, so only the database sees both.
    with Api(twins.first) as line_1, Api(twins.second) as line_2:
        lines = [line_1.with_token(both[0].api.token), line_2.with_token(both[1].api.token)]
        for _ in range(ROUNDS):

            def demote(number: int) -> int:
                target = both[1 - number] if each == "the other" else both[number]
                path = f"/users/{target.id}/role"
                return lines[number].request("PUT", path, json={"role": "user"}).status_code

            outcomes = in_parallel(2, demote)
            assert outcomes.errors == []
            # 403: the other demotion was finished before the role of this user was checked.
            refused = {409} if each == "themselves" else {403, 409}
            assert min(outcomes.results) == 200
            assert max(outcomes.results) in refused
            demoter = outcomes.results.index(200)
            left = both[demoter] if each == "the other" else both[1 - demoter]
            assert [somebody["id"] for somebody in admins(left)] == [left.id]
            for somebody in both:
                give_role(left, somebody, "admin")
