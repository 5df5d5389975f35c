"""Requirement 3.4: a protected operation needs a token, and a user reaches only their own data."""

import base64
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import NO_BODY, Api
from course.harness.raw_http import connect, head, send_raw
from tests.stage03.accounts import PASSWORD, new_account, token_of

NO_SUCH_ID = 2**53 - 1

PROTECTED: list[tuple[str, str, Any]] = [
    ("GET", "/users/me", NO_BODY),
    ("GET", "/todos", NO_BODY),
    ("GET", "/todos?limit=0", NO_BODY),
    ("POST", "/todos", {"title": "Fine"}),
    ("POST", "/todos", {"title": ""}),
    ("POST", "/todos", []),
    ("POST", "/todos", NO_BODY),
    ("GET", "/todos/{id}", NO_BODY),
    ("PUT", "/todos/{id}", {"title": "Fine"}),
    ("PUT", "/todos/{id}", {"title": 1, "surprise": True}),
    ("PATCH", "/todos/{id}", {"title": "Fine"}),
    ("PATCH", "/todos/{id}", {"completed": "maybe"}),
    ("DELETE", "/todos/{id}", NO_BODY),
    ("GET", f"/todos/{NO_SUCH_ID}", NO_BODY),
    ("PUT", f"/todos/{NO_SUCH_ID}", {"title": "Fine"}),
    ("PATCH", f"/todos/{NO_SUCH_ID}", {}),
    ("DELETE", f"/todos/{NO_SUCH_ID}", NO_BODY),
    ("GET", "/todos/not-an-id", NO_BODY),
]


def assert_unauthorized(answer: Any) -> None:
    """Check for a 401 that names the scheme to use (RFC 6750, section 3)."""
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("3.4")
@pytest.mark.contract("E16", "E18", "T12")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        # Some servers check the path first.
        pytest.param(*case, marks=pytest.mark.craft if case[1].endswith("not-an-id") else ())
        for case in PROTECTED
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("token", [None, "garbage"])
def test_a_protected_operation_without_a_valid_token_gets_401(
    api: Api, method: str, path: str, body: Any, token: str | None
) -> None:
    todo = api.create_todo("Untouched")
    address = path.format(id=todo["id"])
    assert_unauthorized(api.with_token(token).request(method, address, json=body))
    assert api.get_todo(todo["id"]) == todo


@pytest.mark.requirement("3.7")
@pytest.mark.contract("E18", "T12")
def test_every_user_and_todo_operation_requires_a_token(api: Api) -> None:
    todo = api.create_todo("Untouched")
    opened = []
    for method, path, body in [
        ("GET", "/users/me", NO_BODY),
        ("GET", "/todos", NO_BODY),
        ("POST", "/todos", {"title": "Fine"}),
        ("GET", f"/todos/{todo['id']}", NO_BODY),
        ("PUT", f"/todos/{todo['id']}", {"title": "Fine"}),
        ("PATCH", f"/todos/{todo['id']}", {"title": "Fine"}),
        ("DELETE", f"/todos/{todo['id']}", NO_BODY),
    ]:
        answer = api.with_token(None).request(method, path, json=body)
        if answer.status_code != 401:
            opened.append(f"{method} {path}: expected 401, got {answer.status_code}")
    assert opened == []
    assert api.get_todo(todo["id"]) == todo


@pytest.mark.requirement("3.4")
@pytest.mark.craft
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_unreadable_body_without_a_token_gets_401(api: Api, method: str) -> None:
    todo = api.create_todo("Untouched")
    path = "/todos" if method == "POST" else f"/todos/{todo['id']}"
    for body in (b'{"title": ', b'{"title": "\xff"}', b"[" * 50_000, b""):
        assert_unauthorized(api.with_token(None).request(method, path, content=body))
        assert api.request(method, path, content=body).status_code == 422
    assert api.get_todo(todo["id"]) == todo


@pytest.mark.requirement("3.4")
@pytest.mark.craft("E19")
@pytest.mark.users
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("body", [b'{"title": 1}', b'{"surprise": 1}', b"[]", b'{"title": ', b""])
def test_404_for_the_todo_of_another_user_takes_precedence_over_422(
    api: Api, method: str, body: bytes
) -> None:
    path = f"/todos/{api.create_todo('Untouched')['id']}"
    assert api.as_new_user().request(method, path, content=body).status_code == 404
    assert api.request(method, path, content=body).status_code == 422


def basic(username: str) -> str:
    """Return the header of HTTP basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{PASSWORD}".encode()).decode()


@pytest.mark.requirement("3.4")
@pytest.mark.contract("E16", "E18")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    "template",
    variants(
        [
            *("", " ", "Bearer", "Bearer ", "Bearer  ", "{token}", "Token {token}", "JWT {token}"),
            *("Basic {token}", "Bearer: {token}", 'Bearer "{token}"', "Bearer {token} {token}"),
            *("Bearer {token},", "Bearer\t{token}x", "bearer", "Bearer é", "Bearer \x7f"),
            *("Digest a=b", "Bearer null"),
        ],
        craft=["Bearer {token} {token}", "Bearer\t{token}x", "Bearer é", "Bearer \x7f"],
    ),
)
def test_a_malformed_authorization_header_gets_401(visitor: Api, template: str) -> None:
    token = token_of(visitor, new_account(visitor))
    headers = {"Authorization": template.format(token=token)}
    answer = send_raw(visitor.server, "GET", "/users/me", [], headers=headers)
    if "\x7f" in template and answer.status == 400:
        return  # HTTP forbids this header (RFC 9110, 5.5): some servers reject it immediately
    assert answer.status == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert b'"detail"' in answer.body


@pytest.mark.requirement("3.4")
@pytest.mark.contract("E16", "E18")
def test_basic_authentication_gets_401(visitor: Api) -> None:
    headers = {"Authorization": basic(new_account(visitor))}
    assert_unauthorized(visitor.request("GET", "/users/me", headers=headers))


@pytest.mark.requirement("3.4")
@pytest.mark.craft
def test_a_token_outside_the_authorization_header_gets_401(visitor: Api) -> None:
    token = token_of(visitor, new_account(visitor))
    for name in ("token", "access_token", "authorization"):
        assert_unauthorized(visitor.request("GET", "/users/me", params={name: token}))
        headers = {"Cookie": f"{name}={token}"}
        assert_unauthorized(visitor.request("GET", "/users/me", headers=headers))


@pytest.mark.requirement("3.4")
@pytest.mark.craft("E7")
def test_a_very_long_token_causes_no_server_error(api: Api) -> None:
    headers = {"Authorization": "Bearer " + "x" * 1_000_000}
    with connect(api.server) as connection:
        connection.sendall(head(api.server, "GET", "/users/me", headers))
    assert api.create_todo("after it")["title"] == "after it"


@pytest.mark.requirement("3.4")
@pytest.mark.craft
def test_public_operations_ignore_an_invalid_token(visitor: Api) -> None:
    """A client that signs in again may still send its expired token."""
    stranger = visitor.with_token("expired")
    assert token_of(stranger, new_account(stranger))


@pytest.mark.requirement("3.4")
@pytest.mark.contract("E17", "T12")
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_the_todo_of_another_user_gets_404(api: Api, method: str) -> None:
    todo, somebody = api.create_todo("Mine", description="Private"), api.as_new_user()
    body = {"title": "Yours"} if method in ("PUT", "PATCH") else NO_BODY
    answer = somebody.request(method, f"/todos/{todo['id']}", json=body)
    never_was = somebody.request(method, f"/todos/{NO_SUCH_ID}", json=body)
    assert (answer.status_code, never_was.status_code) == (404, 404)
    assert isinstance(answer.json()["detail"], str)
    assert api.get_todo(todo["id"]) == todo


@pytest.mark.requirement("3.4")
@pytest.mark.craft
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_the_404_for_another_users_todo_equals_the_404_for_an_unknown_id(
    api: Api, method: str
) -> None:
    todo, somebody = api.create_todo("Mine", description="Private"), api.as_new_user()
    body = {"title": "Yours"} if method in ("PUT", "PATCH") else NO_BODY
    answer = somebody.request(method, f"/todos/{todo['id']}", json=body)
    never_was = somebody.request(method, f"/todos/{NO_SUCH_ID}", json=body)
    said, said_of_none = answer.json()["detail"], never_was.json()["detail"]
    assert said.replace(str(todo["id"]), "#") == said_of_none.replace(str(NO_SUCH_ID), "#")


@pytest.mark.requirement("3.4")
@pytest.mark.contract("E17")
def test_an_empty_patch_of_another_users_todo_gets_404(api: Api) -> None:
    todo = api.create_todo("Mine")
    answer = api.as_new_user().request("PATCH", f"/todos/{todo['id']}", json={})
    assert answer.status_code == 404
    assert "Mine" not in answer.text


@pytest.mark.requirement("3.4")
@pytest.mark.contract("T12")
def test_a_user_lists_only_their_own_todos(api: Api) -> None:
    somebody = api.as_new_user()
    mine = [api.create_todo(completed=number == 1) for number in range(3)]
    theirs = [somebody.create_todo(completed=number == 1) for number in range(2)]
    assert api.list_todos() == mine
    assert somebody.list_todos() == theirs
    assert somebody.list_todos(completed="true") == [theirs[1]]
    assert somebody.list_todos(offset=1) == theirs[1:]
    assert api.as_new_user().list_todos() == []


@pytest.mark.requirement("3.4")
@pytest.mark.contract("T12")
@pytest.mark.parametrize("field", ["owner_id", "user_id", "owner", "user"])
def test_a_body_cannot_change_the_owner_of_a_todo(api: Api, field: str) -> None:
    todo, somebody = api.create_todo("Mine"), api.as_new_user()
    other = somebody.request("GET", "/users/me").json()
    body = {"title": "A present", field: other["id"]}
    assert api.request("POST", "/todos", json=body).status_code in (201, 422)
    for method in ("PUT", "PATCH"):
        answer = api.request(method, f"/todos/{todo['id']}", json=body)
        assert answer.status_code in (200, 422)
    assert somebody.list_todos() == []
    assert api.get_todo(todo["id"])["id"] == todo["id"]


@pytest.mark.requirement("3.4")
@pytest.mark.craft("E9")
@pytest.mark.parametrize("field", ["owner_id", "user_id", "owner", "user"])
def test_a_body_that_sets_the_owner_of_a_todo_gets_422(api: Api, field: str) -> None:
    todo, somebody = api.create_todo("Mine"), api.as_new_user()
    other = somebody.request("GET", "/users/me").json()
    body = {"title": "A present", field: other["id"]}
    assert api.request("POST", "/todos", json=body).status_code == 422
    for method in ("PUT", "PATCH"):
        assert api.request(method, f"/todos/{todo['id']}", json=body).status_code == 422
    assert somebody.list_todos() == []
    assert api.get_todo(todo["id"]) == todo
