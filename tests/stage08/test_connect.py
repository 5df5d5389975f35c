"""Rows 8.1 and 8.6: who may open a socket. A token is checked, and so is the page it comes from."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import ClientConnection

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.tokens import claims_of, forge
from tests.stage08.chat import PATIENCE, REFUSED, Person, new_text, open_socket, refusal
from tests.stage08.conftest import Join

FOREIGN_ORIGINS = variants(
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://[", "x"], craft=["http://[", "x"]
)


def assert_is_open(socket: ClientConnection, api: Api) -> None:
    """Check that a socket is one to chat by."""
    text = new_text()
    Person(api, socket).tell(text)


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C1")
def test_a_token_in_the_header_opens_a_socket(api: Api) -> None:
    with open_socket(api, header=f"Bearer {api.token}") as socket:
        assert_is_open(socket, api)
        assert socket.subprotocol is None


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C1")
def test_a_browser_brings_the_token_as_a_subprotocol(api: Api) -> None:
    assert api.token is not None
    with open_socket(api, subprotocols=["bearer", api.token]) as socket:
        assert socket.subprotocol == "bearer"
        assert_is_open(socket, api)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C1")
def test_a_token_in_the_query_opens_a_socket(api: Api) -> None:
    with open_socket(api, query=f"?token={api.token}") as socket:
        assert_is_open(socket, api)


@pytest.mark.requirement("8.1")
@pytest.mark.craft
def test_who_comes_in_is_told_so_first(api: Api) -> None:
    with open_socket(api, header=f"Bearer {api.token}") as socket:
        assert '"joined"' in socket.recv(timeout=PATIENCE, decode=True)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2")
def test_without_a_token_nobody_comes_in(api: Api) -> None:
    assert refusal(api.server) in REFUSED
    assert refusal(api, subprotocols=["bearer"]) in REFUSED
    assert refusal(api, header="Basic YTpi") in REFUSED
    assert refusal(api, query="?token=") in REFUSED


def unsigned(claims: dict[str, Any], _secret: str) -> str:
    """Return a token that says that it has no signature."""
    token = forge(claims, "", header={"alg": "none", "typ": "JWT"})
    return token.rpartition(".")[0] + "."


def expired(claims: dict[str, Any], secret: str) -> str:
    """Return a token that was good a minute ago."""
    return forge(claims | {"exp": int(time.time()) - 60}, secret)


def of_nobody(claims: dict[str, Any], secret: str) -> str:
    """Return a token for a user who does not exist."""
    return forge(claims | {"sub": str(2**62)}, secret)


def signed_otherwise(claims: dict[str, Any], _secret: str) -> str:
    """Return a token that somebody else signed."""
    return forge(claims, "another secret")


def followed_by_what_is_no_base64(claims: dict[str, Any], secret: str) -> str:
    """Return a good token with characters behind it that a lenient decoder skips."""
    return forge(claims, secret) + "!!!!"


def followed_by_more_base64(claims: dict[str, Any], secret: str) -> str:
    """Return a good token with letters behind a sign that a lenient decoder takes for the end."""
    return forge(claims, secret) + "=QUJD"


def with_sub_in_another_spelling(claims: dict[str, Any], secret: str) -> str:
    """Return a token whose `sub` is the number of a user, but not as it is written."""
    return forge(claims | {"sub": f"0{claims['sub']}"}, secret)


BAD_TOKENS = [
    *(unsigned, expired, of_nobody, signed_otherwise),
    *(followed_by_what_is_no_base64, followed_by_more_base64, with_sub_in_another_spelling),
]


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2", "U9", "U10")
@pytest.mark.every_variant
@pytest.mark.parametrize("make", BAD_TOKENS)
def test_a_bad_token_opens_nothing(
    api: Api, secret: str, make: Callable[[dict[str, Any], str], str]
) -> None:
    claims = claims_of(api.token or "")
    if refusal(api, header=f"Bearer {forge(claims, secret)}") != 0:
        pytest.skip("not checked: the server believes no token that it did not make itself")
    token = make(claims, secret)
    assert refusal(api, header=f"Bearer {token}") in REFUSED
    if "=" not in token:  # which no name of a protocol may hold
        assert refusal(api, subprotocols=["bearer", token]) in REFUSED
    assert refusal(api, query=f"?token={quote(token)}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2", "U9")
def test_a_token_with_another_signature_opens_nothing(api: Api) -> None:
    claims = claims_of(api.token or "")
    for token in (signed_otherwise(claims, ""), unsigned(claims, "")):
        assert refusal(api, header=f"Bearer {token}") in REFUSED
        assert refusal(api, query=f"?token={quote(token)}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2")
def test_nonsense_for_a_token_opens_nothing(api: Api) -> None:
    for token in ("x", "a.b.c", "x" * 400):
        assert refusal(api, query=f"?token={token}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.craft
def test_what_is_hardly_a_token_opens_nothing_either(api: Api) -> None:
    for token in ("%00", "x" * 4000):
        assert refusal(api, query=f"?token={token}") in REFUSED


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3")
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_foreign_page_is_refused_whatever_token_it_has(api: Api, origin: str) -> None:
    assert refusal(api, header=f"Bearer {api.token}", origin=origin) in REFUSED
    assert refusal(api, query=f"?token={api.token}", origin=origin) in REFUSED


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3")
def test_our_own_page_is_let_in(api: Api) -> None:
    assert refusal(api, query=f"?token={api.token}", origin=api.base_url) == 0


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3", "E26")
def test_other_pages_can_be_allowed(launch: Launch) -> None:
    server = launch(CHAT_ALLOWED_ORIGINS="https://a.example, https://b.example:8443")
    with Api(server) as visitor:
        query = f"?token={visitor.as_new_user().token}"
    for origin in ("https://a.example", "https://b.example:8443", server.base_url):
        assert refusal(server, query=query, origin=origin) == 0
    for origin in ("http://a.example", "https://b.example", "https://c.example", "null"):
        assert refusal(server, query=query, origin=origin) in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C1")
def test_no_token_is_ever_logged(api: Api, launched_server: LaunchedServer) -> None:
    mark = launched_server.log_mark()
    assert api.token is not None
    bad = f"bad{secrets.token_hex(8)}"
    assert refusal(api, query=f"?token={api.token}") == 0
    assert refusal(api, query=f"?%74oken={api.token}&a=b") == 0
    assert refusal(api, query=f"?a=b&token={bad}") in REFUSED
    assert refusal(api, subprotocols=["bearer", api.token]) == 0
    assert refusal(api, header=f"Bearer {api.token}") == 0
    for path in ("/ws/chat", "/chat", "/todos", "/nowhere"):
        api.request("GET", f"{path}?token={bad}")
    log = launched_server.log_since(mark)
    assert "/ws/chat" in log
    assert "/todos" in log
    assert "Logging error" not in log
    signature = api.token.rpartition(".")[2]
    assert bad not in log
    assert signature not in log


@pytest.mark.requirement("8.4")
@pytest.mark.contract("C5", "C6")
def test_whoever_hangs_up_harms_nobody(join: Join) -> None:
    stays, goes = join(), join()
    goes.socket.socket.close()
    stays.presence("left", goes.user)
    assert stays.tell("still here")
