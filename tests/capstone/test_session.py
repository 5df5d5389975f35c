"""Requirement C.1: our pages stay signed in by a cookie that no script and no other site uses."""

from __future__ import annotations

import re
import secrets
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.waiting import in_parallel
from tests.stage03.accounts import PASSWORD, new_account

pytestmark = pytest.mark.craft

PATH = "/auth/session"
COOKIE = "session"


def new_attempt() -> str:
    """Return a name for a request, as a page makes it."""
    return secrets.token_hex(16)


def ask(
    api: Api,
    method: str,
    *,
    cookie: str | None = None,
    attempt: str | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    """Send a request about the session, with this cookie only, and return the answer."""
    api.client.cookies.clear()
    sent = {"X-Attempt": attempt or new_attempt(), **(headers or {})}
    if cookie is not None:
        sent["Cookie"] = f"{COOKIE}={cookie}"
    return api.request(method, PATH, headers=sent, **options)


def sign_in(api: Api, username: str, **options: Any) -> httpx.Response:
    """Sign in as a page does."""
    form = {"username": username, "password": PASSWORD}
    return ask(api, "POST", data=form, **options)


def cookie_of(answer: httpx.Response) -> Morsel[str]:
    """Return the cookie that an answer sets."""
    found: SimpleCookie = SimpleCookie(answer.headers["set-cookie"])
    return found[COOKIE]


def value_of(answer: httpx.Response) -> str:
    """Return the value of the cookie of an answer, which must be a success."""
    assert answer.status_code == 200, answer.text
    return cookie_of(answer).value


def assert_refused(answer: httpx.Response) -> None:
    """Check for a correct 401 without a new cookie."""
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert "set-cookie" not in answer.headers


@pytest.mark.requirement("C.1")
def test_no_script_and_no_other_site_can_use_the_cookie(visitor: Api) -> None:
    signed_in = sign_in(visitor, new_account(visitor))
    renewed = ask(visitor, "PUT", cookie=value_of(signed_in))
    for answer in (signed_in, renewed):
        cookie = cookie_of(answer)
        assert cookie["httponly"] is True
        assert cookie["samesite"].lower() == "strict"
        # Without a path it is for the folder of the URL, here and behind a prefix: only /auth.
        assert cookie["path"] == cookie["domain"] == ""
        assert int(cookie["max-age"]) > 1_000_000
        assert cookie["secure"] == ""  # this was plain http: localhost works
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
        assert cookie.value not in answer.text


@pytest.mark.requirement("C.1")
def test_behind_tls_the_cookie_is_secure(visitor: Api) -> None:
    https = {"X-Forwarded-Proto": "https"}
    signed_in = sign_in(visitor, new_account(visitor), headers=https)
    assert cookie_of(signed_in)["secure"] is True
    renewed = ask(visitor, "PUT", cookie=value_of(signed_in), headers=https)
    assert cookie_of(renewed)["secure"] is True


@pytest.mark.requirement("C.1")
def test_a_renewal_returns_a_working_access_token(visitor: Api) -> None:
    username = new_account(visitor)
    first = sign_in(visitor, username)
    second = ask(visitor, "PUT", cookie=value_of(first))
    assert value_of(second) != value_of(first)
    for answer in (first, second):
        me = visitor.with_token(answer.json()["access_token"]).request("GET", "/users/me")
        assert me.json()["username"] == username


@pytest.mark.requirement("C.1")
def test_a_wrong_password_and_no_cookie_get_401(visitor: Api) -> None:
    username = new_account(visitor)
    assert_refused(ask(visitor, "POST", data={"username": username, "password": "not this one"}))
    assert_refused(ask(visitor, "PUT"))
    assert_refused(ask(visitor, "PUT", cookie="x" * 43))


@pytest.mark.requirement("C.1")
def test_reusing_a_stolen_cookie_revokes_the_session(visitor: Api) -> None:
    stolen = value_of(sign_in(visitor, new_account(visitor)))
    successor = value_of(ask(visitor, "PUT", cookie=stolen))
    assert_refused(ask(visitor, "PUT", cookie=stolen))
    assert_refused(ask(visitor, "PUT", cookie=successor))


@pytest.mark.requirement("C.1")
def test_a_repeated_attempt_gets_the_same_successor(visitor: Api) -> None:
    cookie = value_of(sign_in(visitor, new_account(visitor)))
    attempt = new_attempt()
    successors = [value_of(ask(visitor, "PUT", cookie=cookie, attempt=attempt)) for _ in range(3)]
    assert len(set(successors)) == 1
    value_of(ask(visitor, "PUT", cookie=successors[0]))
    # The successor is in use now. The old cookie is a sign of a theft again, with any attempt.
    assert_refused(ask(visitor, "PUT", cookie=cookie, attempt=attempt))


@pytest.mark.requirement("C.1")
def test_a_repeated_attempt_after_the_theft_was_noticed_is_refused(visitor: Api) -> None:
    cookie = value_of(sign_in(visitor, new_account(visitor)))
    attempt = new_attempt()
    value_of(ask(visitor, "PUT", cookie=cookie, attempt=attempt))
    assert_refused(ask(visitor, "PUT", cookie=cookie))
    assert_refused(ask(visitor, "PUT", cookie=cookie, attempt=attempt))


@pytest.mark.requirement("C.1")
def test_concurrent_requests_of_one_attempt_get_the_same_successor(visitor: Api) -> None:
    cookie = value_of(sign_in(visitor, new_account(visitor)))
    attempt = new_attempt()
    answers = in_parallel(8, lambda _: ask(visitor, "PUT", cookie=cookie, attempt=attempt)).results
    (successor,) = {value_of(answer) for answer in answers}
    value_of(ask(visitor, "PUT", cookie=successor))


@pytest.mark.requirement("C.1")
def test_signing_out_revokes_the_session_and_removes_the_cookie(visitor: Api) -> None:
    first = value_of(sign_in(visitor, new_account(visitor)))
    second = value_of(ask(visitor, "PUT", cookie=first))
    answer = ask(visitor, "DELETE", cookie=second)
    assert (answer.status_code, answer.content) == (204, b"")
    assert cookie_of(answer)["max-age"] == "0"
    assert_refused(ask(visitor, "PUT", cookie=second))
    assert ask(visitor, "DELETE", cookie=second).status_code == 204
    assert ask(visitor, "DELETE").status_code == 204


@pytest.mark.requirement("C.1")
def test_signing_in_ends_the_earlier_session_of_the_browser(visitor: Api) -> None:
    earlier = value_of(sign_in(visitor, new_account(visitor)))
    later = value_of(sign_in(visitor, new_account(visitor), cookie=earlier))
    assert_refused(ask(visitor, "PUT", cookie=earlier))
    value_of(ask(visitor, "PUT", cookie=later))


@pytest.mark.requirement("C.1")
def test_without_the_header_of_our_pages_nothing_happens(visitor: Api) -> None:
    username = new_account(visitor)
    cookie = value_of(sign_in(visitor, username))
    sent = {"Cookie": f"{COOKIE}={cookie}"}
    form = {"username": username, "password": PASSWORD}
    for method in ("PUT", "DELETE", "POST"):
        visitor.client.cookies.clear()
        data = form if method == "POST" else None
        answer = visitor.request(method, PATH, headers=sent, data=data)
        assert answer.status_code == 422
        assert "set-cookie" not in answer.headers
    value_of(ask(visitor, "PUT", cookie=cookie))


@pytest.mark.requirement("C.1")
def test_a_page_of_another_origin_may_not_send_the_header(launch: Launch) -> None:
    origin = "https://friend.example"
    with Api(launch(CORS_ORIGINS=origin)) as api:
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        allowed = {**asked, "Access-Control-Request-Headers": "authorization"}
        refused = {**asked, "Access-Control-Request-Headers": "x-attempt"}
        assert api.request("OPTIONS", PATH, headers=allowed).status_code == 200
        assert api.request("OPTIONS", PATH, headers=refused).status_code == 400
        answer = ask(api, "PUT", headers={"Origin": origin})
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.requirement("C.1")
def test_renewals_of_many_pages_do_not_count_as_attempts(launch: Launch) -> None:
    with Api(launch(RATE_LIMIT_AUTH="2/day")) as api:  # of one address: twenty
        cookie = value_of(sign_in(api, new_account(api)))
        for _ in range(25):
            cookie = value_of(ask(api, "PUT", cookie=cookie))
        answers = [ask(api, "PUT", cookie="x" * 43).status_code for _ in range(21)]
        assert answers == [401] * 20 + [429]


@pytest.mark.requirement("C.1")
def test_the_description_of_the_api_does_not_have_the_session(visitor: Api) -> None:
    paths = visitor.request("GET", "/openapi.json").json()["paths"]
    assert [path for path in paths if re.search("session|my-", path)] == []
