"""Requirements 7.3 and 7.4: administrators assign roles, which apply from the next request on."""

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.tokens import claims_of
from tests.stage03.accounts import PASSWORD, new_account, new_username, register, token_of
from tests.stage07.people import (
    IMPOSSIBLE_ID,
    ROLES,
    Json,
    Person,
    expect,
    give_role,
    person,
    read,
)
from tests.stage07.test_posts import TIME

USER_FIELDS = {"id", "username", "role", "created_at"}


def everybody(admin: Person) -> list[Json]:
    """Return the users from all pages."""
    found: list[Json] = []
    while page := expect(
        200, admin.api, "GET", "/users", params={"limit": 100, "offset": len(found)}
    ):
        assert page[0] not in found, "this page starts with a user of an earlier page"
        found += page
    return found


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B2", "U1")
def test_a_new_account_has_the_role_user(visitor: Api) -> None:
    answer = register(visitor, new_username())
    assert answer.status_code == 201
    assert set(answer.json()) == USER_FIELDS
    assert answer.json()["role"] == "user"


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B2")
@pytest.mark.parametrize("extra", [{"role": "admin"}, {"is_admin": True}], ids=str)
def test_a_registration_cannot_create_an_administrator(visitor: Api, extra: Json) -> None:
    username = new_username()
    body = {"username": username, "password": PASSWORD} | extra
    answer = visitor.request("POST", "/auth/register", json=body)
    assert answer.status_code in (201, 422)
    if answer.status_code == 201:
        assert answer.json()["role"] == "user"
        me = expect(200, person(visitor, username, PASSWORD).api, "GET", "/users/me")
        assert me["role"] == "user"


@pytest.mark.requirement("7.3")
@pytest.mark.craft("E9")
def test_a_registration_with_a_role_gets_422(visitor: Api) -> None:
    for extra in ({"role": "admin"}, {"role": "user"}, {"is_admin": True}):
        body = {"username": new_username(), "password": PASSWORD} | extra
        assert visitor.request("POST", "/auth/register", json=body).status_code == 422


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B3", "B11", "U1", "U3", "E2")
def test_the_list_shows_every_user_with_a_role_and_no_secret(
    admin: Person, author: Person, user: Person
) -> None:
    found = everybody(admin)
    ids = [somebody["id"] for somebody in found]
    assert len(ids) == len(set(ids))
    by_id = {somebody["id"]: somebody for somebody in found}
    for somebody, role in ((admin, "admin"), (author, "author"), (user, "user")):
        shown = by_id[somebody.id]
        assert set(shown) == USER_FIELDS
        assert (shown["username"], shown["role"]) == (somebody.username, role)
        assert TIME.match(shown["created_at"])
        assert shown == expect(200, somebody.api, "GET", "/users/me")


@pytest.mark.requirement("7.3")
@pytest.mark.craft
@pytest.mark.usefixtures("author", "user")
def test_the_list_of_users_is_sorted_by_id(admin: Person) -> None:
    ids = [somebody["id"] for somebody in everybody(admin)]
    assert ids == sorted(ids)


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11", "E21")
def test_the_list_of_users_has_pages(admin: Person, user: Person) -> None:
    assert len(expect(200, admin.api, "GET", "/users", params={"limit": 1})) == 1
    first_two = expect(200, admin.api, "GET", "/users", params={"limit": 2})
    second = expect(200, admin.api, "GET", "/users", params={"limit": 1, "offset": 1})
    assert second == first_two[1:]
    assert user.id in {somebody["id"] for somebody in everybody(admin)}
    for query in ("limit=0", "limit=101", "offset=-1"):
        assert admin.api.request("GET", f"/users?{query}").status_code == 422


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11")
@pytest.mark.parametrize("role", ROLES)
def test_assigning_a_role_returns_the_user(admin: Person, user: Person, role: str) -> None:
    before = expect(200, user.api, "GET", "/users/me")
    assert give_role(admin, user, role) == before | {"role": role}
    assert give_role(admin, user, role) == before | {"role": role}  # a repetition is allowed
    assert expect(200, user.api, "GET", "/users/me")["role"] == role
    give_role(admin, user, "user")


@pytest.mark.requirement("7.3")
@pytest.mark.contract("B11", "E4")
@pytest.mark.parametrize(
    "body",
    variants(
        [
            {"role": "root"},
            {"role": "Admin"},
            {"role": " admin"},
            {"role": ""},
            {"role": None},
            {"role": 1},
            {"role": ["admin"]},
            {},
            None,
            {"role": "author", "username": "somebody"},
        ],
        craft=[
            {"role": "Admin"},
            {"role": " admin"},
            {"role": "author", "username": "somebody"},
        ],
    ),
)
def test_an_invalid_role_gets_422(admin: Person, user: Person, body: Json | None) -> None:
    answer = admin.api.request("PUT", f"/users/{user.id}/role", json=body)
    assert answer.status_code == 422
    assert expect(200, user.api, "GET", "/users/me")["role"] == "user"


@pytest.mark.requirement("7.3")
@pytest.mark.contract("E3", "E25")
@pytest.mark.parametrize("user_id", [IMPOSSIBLE_ID, 0, -1, "x"])
def test_an_impossible_user_id_gets_404_or_422(admin: Person, user_id: int | str) -> None:
    answer = admin.api.request("PUT", f"/users/{user_id}/role", json={"role": "user"})
    assert answer.status_code in (404, 422)


@pytest.mark.requirement("7.3", "7.4")
@pytest.mark.contract("B1", "B12")
def test_a_promotion_applies_at_once_to_an_existing_token(admin: Person, user: Person) -> None:
    post = {"title": "t", "body": "b"}
    expect(403, user.api, "POST", "/posts", json=post)
    give_role(admin, user, "author")
    expect(201, user.api, "POST", "/posts", json=post)
    expect(403, user.api, "GET", "/users")
    give_role(admin, user, "admin")
    expect(200, user.api, "GET", "/users")
    give_role(admin, user, "user")


@pytest.mark.requirement("7.3", "7.4")
@pytest.mark.contract("B1", "B12")
def test_a_demotion_applies_at_once_to_an_existing_token(
    admin: Person, author: Person, visitor: Api
) -> None:
    post = author.write_post()
    path = f"/posts/{post['id']}"
    give_role(admin, author, "admin")
    expect(200, author.api, "GET", "/users")
    give_role(admin, author, "author")
    expect(403, author.api, "GET", "/users")
    give_role(admin, author, "user")
    expect(403, author.api, "POST", "/posts", json={"title": "t", "body": "b"})
    expect(403, author.api, "PATCH", path, json={"title": "Mine, still?"})
    expect(403, author.api, "DELETE", path)
    assert read(visitor, post) == post
    give_role(admin, author, "author")
    expect(204, author.api, "DELETE", path)


@pytest.mark.requirement("7.4")
@pytest.mark.craft
def test_the_token_does_not_contain_the_role(visitor: Api, admin: Person) -> None:
    username = new_account(visitor)
    give_role(admin, person(visitor, username, PASSWORD), "author")
    token = token_of(visitor, username)
    assert "author" not in claims_of(token).values()
