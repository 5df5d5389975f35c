"""Requirements 8.1 and 8.6: a socket needs a valid token, and the page needs an allowed origin."""

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
    """Check that the socket can send and receive messages."""
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
def test_a_token_as_a_subprotocol_opens_a_socket(api: Api) -> None:
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
def test_the_first_frame_reports_that_the_user_joined(api: Api) -> None:
    with open_socket(api, header=f"Bearer {api.token}") as socket:
        assert '"joined"' in socket.recv(timeout=PATIENCE, decode=True)


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2")
def test_a_socket_without_a_token_is_refused(api: Api) -> None:
    assert refusal(api.server) in REFUSED
    assert refusal(api, subprotocols=["bearer"]) in REFUSED
    assert refusal(api, header="Basic YTpi") in REFUSED
    assert refusal(api, query="?token=") in REFUSED


def unsigned(claims: dict[str, Any], _secret: str) -> str:
    """Return an unsigned token whose header says that it is unsigned."""
    token = forge(claims, "", header={"alg": "none", "typ": "JWT"})
    return token.rpartition(".")[0] + "."


def expired(claims: dict[str, Any], secret: str) -> str:
    """Return a token that expired a minute ago."""
    return forge(claims | {"exp": int(time.time()) - 60}, secret)


def of_unknown_user(claims: dict[str, Any], secret: str) -> str:
    """Return a token for a user who does not exist."""
    return forge(claims | {"sub": str(2**62)}, secret)


def signed_with_another_secret(claims: dict[str, Any], _secret: str) -> str:
    """Return a token that is signed with another secret."""
    return forge(claims, "another secret")


def followed_by_other_characters(claims: dict[str, Any], secret: str) -> str:
    """Return a valid token with extra characters that a lenient decoder skips."""
    return forge(claims, secret) + "!!!!"


def followed_by_padding_and_more(claims: dict[str, Any], secret: str) -> str:
    """Return a valid token with letters after the padding, where a lenient decoder stops."""
    return forge(claims, secret) + "=QUJD"


def with_sub_in_another_spelling(claims: dict[str, Any], secret: str) -> str:
    """Return a token whose `sub` is the id of a user in another spelling."""
    return forge(claims | {"sub": f"0{claims['sub']}"}, secret)


BAD_TOKENS = [
    *(unsigned, expired, of_unknown_user, signed_with_another_secret),
    *(followed_by_other_characters, followed_by_padding_and_more, with_sub_in_another_spelling),
]


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2", "U9", "U10")
@pytest.mark.every_variant
@pytest.mark.parametrize("make", BAD_TOKENS)
def test_a_socket_with_an_invalid_token_is_refused(
    api: Api, secret: str, make: Callable[[dict[str, Any], str], str]
) -> None:
    claims = claims_of(api.token or "")
    if refusal(api, header=f"Bearer {forge(claims, secret)}") != 0:
        pytest.skip("not checked: the server rejects every token that it did not issue itself")
    token = make(claims, secret)
    assert refusal(api, header=f"Bearer {token}") in REFUSED
    if "=" not in token:  # the name of a subprotocol must not contain it
        assert refusal(api, subprotocols=["bearer", token]) in REFUSED
    assert refusal(api, query=f"?token={quote(token)}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2", "U9")
def test_a_socket_with_a_wrong_signature_is_refused(api: Api) -> None:
    claims = claims_of(api.token or "")
    for token in (signed_with_another_secret(claims, ""), unsigned(claims, "")):
        assert refusal(api, header=f"Bearer {token}") in REFUSED
        assert refusal(api, query=f"?token={quote(token)}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C2")
def test_a_socket_with_a_malformed_token_is_refused(api: Api) -> None:
    for token in ("x", "a.b.c", "x" * 400):
        assert refusal(api, query=f"?token={token}") in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.craft
def test_a_socket_with_an_unusual_token_is_refused(api: Api) -> None:
    for token in ("%00", "x" * 4000):
        assert refusal(api, query=f"?token={token}") in REFUSED


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3")
@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_page_from_another_origin_is_refused_with_a_valid_token(api: Api, origin: str) -> None:
    assert refusal(api, header=f"Bearer {api.token}", origin=origin) in REFUSED
    assert refusal(api, query=f"?token={api.token}", origin=origin) in REFUSED


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3")
def test_a_page_from_the_same_origin_can_connect(api: Api) -> None:
    assert refusal(api, query=f"?token={api.token}", origin=api.base_url) == 0


@pytest.mark.requirement("8.1")
@pytest.mark.contract("C3", "E26")
def test_a_setting_can_allow_other_origins(launch: Launch) -> None:
    server = launch(CHAT_ALLOWED_ORIGINS="https://a.example, https://b.example:8443")
    with Api(server) as visitor:
        query = f"?token={visitor.as_new_user().token}"
    for origin in ("https://a.example", "https://b.example:8443", server.base_url):
        assert refusal(server, query=query, origin=origin) == 0
    for origin in ("http://a.example", "https://b.example", "https://c.example", "null"):
        assert refusal(server, query=query, origin=origin) in REFUSED


@pytest.mark.requirement("8.6")
@pytest.mark.contract("C1")
def test_the_log_contains_no_token(api: Api, launched_server: LaunchedServer) -> None:
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
def test_a_client_that_disconnects_does_not_affect_others(join: Join) -> None:
    stays, goes = join(), join()
    goes.socket.socket.close()
    stays.presence("left", goes.user)
    assert stays.tell("still here")
