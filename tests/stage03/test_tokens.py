"""Requirements 3.3 and 3.6: the content of a token, and the tokens that the server accepts."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.server import LaunchedServer
from course.harness.tokens import (
    claims_of,
    decode,
    encode,
    forge,
    good_claims,
    header_of,
    is_signed_with,
)
from course.harness.waiting import eventually
from tests.stage03.accounts import (
    PASSWORD,
    new_account,
    new_username,
    register,
    sign_in,
    token_of,
)

TWENTY_KB = 20_000
LONGEST_HEADER = 8_000  # bytes that every server reads
UNSIGNED = b'{"alg":"none","typ":"JWT"}'


def assert_refused(api: Api, token: str) -> None:
    """Check that the server refuses this token with a correct 401."""
    answer = api.with_token(token).request("GET", "/users/me")
    if len(token) > LONGEST_HEADER and answer.status_code in (400, 431):
        return  # many servers reject a header of this length without reading it
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].split()[0] == "Bearer"
    assert isinstance(answer.json()["detail"], str)


# --- Tests that need no secret


@pytest.mark.requirement("3.3", "3.6")
@pytest.mark.contract("U6", "U8")
def test_a_token_has_the_claims_of_the_contract(visitor: Api) -> None:
    answer = sign_in(visitor, new_account(visitor)).json()
    token = answer["access_token"]
    assert header_of(token)["alg"] == "HS256"
    claims = claims_of(token)
    assert {"sub", "iat", "exp", "jti"} <= claims.keys()
    assert claims["sub"]
    assert claims["jti"]
    assert abs(claims["exp"] - claims["iat"] - answer["expires_in"]) <= 1
    assert PASSWORD not in str(claims)


@pytest.mark.requirement("3.3", "3.6")
@pytest.mark.craft
def test_a_token_contains_its_user_and_its_expiry(visitor: Api) -> None:
    username = new_account(visitor)
    answer = sign_in(visitor, username).json()
    token = answer["access_token"]
    assert header_of(token)["alg"] == "HS256"
    claims = claims_of(token)
    me = visitor.with_token(token).request("GET", "/users/me").json()
    assert claims["sub"] == str(me["id"])
    assert type(claims["iat"]) is int
    assert type(claims["exp"]) is int
    assert claims["exp"] - claims["iat"] == answer["expires_in"]
    assert claims["jti"]
    assert isinstance(claims["jti"], str)
    assert PASSWORD not in str(claims)


@pytest.mark.requirement("3.3")
@pytest.mark.contract("U8")
def test_every_sign_in_returns_a_different_token(visitor: Api) -> None:
    username = new_account(visitor)
    tokens = [token_of(visitor, username) for _ in range(5)]
    assert len({claims_of(token)["jti"] for token in tokens}) == 5
    for token in tokens:
        assert visitor.with_token(token).request("GET", "/users/me").status_code == 200


def without_signature(token: str) -> str:
    """Remove the signature."""
    return token.rpartition(".")[0] + "."


def with_alg_none(token: str) -> str:
    """Set `alg` to none in the header, and remove the signature."""
    return f"{encode(UNSIGNED)}.{token.split('.')[1]}."


def with_alg_none_in_capitals(token: str) -> str:
    """Use a spelling of none that a naive comparison does not know."""
    return f"{encode(UNSIGNED.replace(b'none', b'NoNe'))}.{token.split('.')[1]}."


def with_alg_none_but_signed(token: str) -> str:
    """Set `alg` to none in the header, and keep the signature."""
    _, payload, signed = token.split(".")
    return f"{encode(UNSIGNED)}.{payload}.{signed}"


def of_another_user(token: str) -> str:
    """Change the user in the token."""
    header, payload, signed = token.split(".")
    changed = decode(payload).replace(b'"sub":"', b'"sub":"1').replace(b'"sub": "', b'"sub": "1')
    return f"{header}.{encode(changed)}.{signed}"


def with_a_changed_signature(token: str) -> str:
    """Change a character in the middle of the signature."""
    middle = len(token) - 20
    return token[:middle] + ("B" if token[middle] == "A" else "A") + token[middle + 1 :]


def truncated(token: str) -> str:
    """Remove the end."""
    return token[:-4]


def with_a_fourth_part(token: str) -> str:
    """Add a part."""
    return token + ".e30"


def signed_with_another_secret(token: str) -> str:
    """Make the same token with a secret that is not the server's."""
    return forge(claims_of(token), "not the secret of this server")


def signed_with_no_secret(token: str) -> str:
    """Make the same token with an empty secret."""
    return forge(claims_of(token), "")


def signed_with_a_well_known_secret(token: str) -> str:
    """Make the same token with the secret of many tutorials."""
    return forge(claims_of(token), "secret")


def followed_by_other_characters(token: str) -> str:
    """Add characters that a lenient decoder skips."""
    return token + "!!!!"


def followed_by_letters(token: str) -> str:
    """Add letters that make the signature too long."""
    return token + "AAAA"


def followed_by_padding(token: str) -> str:
    """Add the character that pads Base64 in other formats."""
    return token + "===="


def followed_by_padding_and_more(token: str) -> str:
    """Add letters after the padding."""
    return token + "=QUJD"


def followed_by_ten_thousand_letters(token: str) -> str:
    """Add many letters: a cache of tokens would fill with variants."""
    return token + "=" + "A" * 10_000


def with_a_comma_in_the_signature(token: str) -> str:
    """Insert a character that is not in the Base64 alphabet."""
    return token[:-20] + "," + token[-20:]


def signed_with_other_last_bits(token: str) -> str:
    """Change the last letter: two of its six bits do not belong to the signature."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


def with_two_dots_for_one(token: str) -> str:
    """Double the dot before the signature."""
    return "..".join(token.rsplit(".", 1))


TAMPERINGS = [
    followed_by_letters,
    followed_by_other_characters,
    followed_by_padding,
    followed_by_padding_and_more,
    followed_by_ten_thousand_letters,
    with_a_comma_in_the_signature,
    signed_with_other_last_bits,
    with_two_dots_for_one,
    without_signature,
    with_alg_none,
    with_alg_none_in_capitals,
    with_alg_none_but_signed,
    of_another_user,
    with_a_changed_signature,
    truncated,
    with_a_fourth_part,
    signed_with_another_secret,
    signed_with_no_secret,
    signed_with_a_well_known_secret,
]


@pytest.mark.requirement("3.4", "3.6")
@pytest.mark.contract("U9", "U10", "E16")
@pytest.mark.every_variant
@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_modified_token_gets_401(visitor: Api, tamper: Callable[[str], str]) -> None:
    token = token_of(visitor, new_account(visitor))
    assert tamper(token) != token
    assert_refused(visitor, tamper(token))


def with_header(header: bytes) -> str:
    """Return a token with this header; no part of it is valid."""
    return f"{encode(header)}.{encode(b'{}')}.{encode(b'signature')}"


GARBAGE: dict[str, str] = {
    "a word": "garbage",
    "three words": "a.b.c",
    "dots": "..",
    "one dot": ".",
    "many dots": "." * 1000,
    "20 kB": "x" * TWENTY_KB,
    "20 kB in parts": ".".join(["x" * (TWENTY_KB // 3)] * 3),
    "not Base64": "!!!.???.###",
    "a header that is not JSON": with_header(b"garbage"),
    "a header that is not text": with_header(b"\xff\xfe\0"),
    "a header that is a list": with_header(b"[1]"),
    "a header that is a number": with_header(b"1"),
    "a header that is null": with_header(b"null"),
    "an algorithm that is a list": with_header(b'{"alg": ["HS256"]}'),
    "an algorithm that is an object": with_header(b'{"alg": {}}'),
    "an algorithm that is null": with_header(b'{"alg": null}'),
    "an unknown algorithm": with_header(b'{"alg": "HS1"}'),
    "a public key's algorithm": with_header(b'{"alg": "RS256"}'),
    "no algorithm": with_header(b'{"typ": "JWT"}'),
    "lists 15 000 deep in the header": with_header(b"[" * 15_000),
    "objects 3 000 deep in the header": with_header(b'{"a":' * 3_000),
    "closed lists 5 000 deep": with_header(b'{"alg":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
    "a number of 5 000 digits": with_header(b'{"alg": "HS256", "x": ' + b"9" * 5_000 + b"}"),
    "a key in the header": with_header(b'{"alg":"HS256","jwk":{"kty":"oct","k":"c2VjcmV0"}}'),
    "a URL of a key": with_header(b'{"alg":"HS256","jku":"http://127.0.0.1:9/keys"}'),
    "an encrypted token": with_header(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}') + ".a.b",
}


TOO_MUCH_FOR_SOME = {
    *("20 kB", "20 kB in parts", "lists 15 000 deep in the header"),
    *("objects 3 000 deep in the header", "closed lists 5 000 deep", "a number of 5 000 digits"),
}


@pytest.mark.requirement("3.4", "3.6")
@pytest.mark.contract("U9", "E16")
@pytest.mark.every_variant
@pytest.mark.parametrize("name", variants(GARBAGE, craft=TOO_MUCH_FOR_SOME))
def test_a_malformed_token_gets_401(visitor: Api, name: str) -> None:
    assert_refused(visitor, GARBAGE[name])


# --- Tests that sign tokens with the server's secret


@pytest.fixture
def claims(visitor: Api, secret: str) -> dict[str, Any]:
    """Return the claims of a token that the server issued; the server accepts them in a new token.

    So each refusal below is caused by the one claim that the test changes.
    """
    issued = claims_of(token_of(visitor, new_account(visitor)))
    control = visitor.with_token(forge(issued, secret)).request("GET", "/users/me")
    if control.status_code != 200:
        pytest.skip("not checked: the server rejects every token that it did not issue itself")
    return issued


@pytest.fixture
def user_id(visitor: Api) -> int:
    """Return the id of a user of the shared server."""
    registered: int = register(visitor, new_username()).json()["id"]
    return registered


@pytest.mark.requirement("3.3", "3.6")
@pytest.mark.contract("U8", "E26")
def test_a_token_is_signed_with_the_configured_secret_and_dated_now(
    visitor: Api, secret: str
) -> None:
    asked = time.time()
    token = token_of(visitor, new_account(visitor))
    assert is_signed_with(token, secret)
    assert abs(claims_of(token)["iat"] - asked) < 60


@pytest.mark.requirement("3.6")
@pytest.mark.craft
def test_a_token_with_a_valid_signature_and_claims_is_accepted(
    visitor: Api, secret: str, user_id: int
) -> None:
    """This shows that the forged tokens below are refused because of their one fault."""
    token = forge(good_claims(user_id), secret)
    me = visitor.with_token(token).request("GET", "/users/me")
    assert (me.status_code, me.json()["id"]) == (200, user_id)


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 5},
    "exp is zero": {"exp": 0},
    "exp is negative": {"exp": -1},
    "not yet": {"nbf": int(time.time()) + 3600},
    "exp is text": {"exp": "tomorrow"},
    "exp is null": {"exp": None},
    "exp is a list": {"exp": [int(time.time()) + 600]},
    "exp is true": {"exp": True},
    "exp is infinite": {"exp": float("inf")},
    "exp is minus infinite": {"exp": float("-inf")},
    "exp is not a number": {"exp": float("nan")},
    "iat is text": {"iat": "yesterday"},
    "sub is a number": {"sub": 1},
    "sub is a word": {"sub": "admin"},
    "sub is empty": {"sub": ""},
    "sub is null": {"sub": None},
    "sub is zero": {"sub": "0"},
    "sub is negative": {"sub": "-1"},
    "sub is a fraction": {"sub": "1.5"},
    "sub is a float": {"sub": 1.0},
    "sub is true": {"sub": True},
    "sub is a list": {"sub": ["1"]},
    "sub is an object": {"sub": {"id": "1"}},
    "sub is over 64 bits": {"sub": str(2**63)},
    "sub is enormous": {"sub": "9" * 5000},
    "sub is a NUL": {"sub": "\0"},
    "sub is half a pair": {"sub": "\ud800"},
    "sub is an unknown id": {"sub": str(2**53 - 1)},
    "sub is SQL": {"sub": "1 OR 1=1"},
    "aud is another service": {"aud": "another-service"},
}


NOT_VALID = {"expired", "exp is zero", "sub is an unknown id"}


@pytest.mark.requirement("3.4", "3.6")
@pytest.mark.contract("U9")
@pytest.mark.parametrize("name", variants(WRONG_CLAIMS, craft=WRONG_CLAIMS.keys() - NOT_VALID))
def test_a_signed_token_with_an_invalid_claim_gets_401(
    visitor: Api, secret: str, claims: dict[str, Any], name: str
) -> None:
    assert_refused(visitor, forge(claims | WRONG_CLAIMS[name], secret))


@pytest.mark.requirement("3.6")
@pytest.mark.contract("U10")
@pytest.mark.parametrize(
    "spelling", [" {}", "{} ", " {} ", "+{}", "0{}", "{}\n", "{}.0", "{}_0"], ids=ascii
)
def test_another_spelling_of_sub_gets_401(
    visitor: Api, secret: str, claims: dict[str, Any], spelling: str
) -> None:
    assert_refused(visitor, forge(claims | {"sub": spelling.format(claims["sub"])}, secret))


@pytest.mark.requirement("3.6")
@pytest.mark.contract("U10")
@pytest.mark.parametrize("zero", ["\u0660", "\u0966", "\uff10"], ids=ascii)
def test_a_sub_in_other_digits_gets_401(
    visitor: Api, secret: str, claims: dict[str, Any], zero: str
) -> None:
    digits = {ord("0") + number: chr(ord(zero) + number) for number in range(10)}
    assert_refused(visitor, forge(claims | {"sub": claims["sub"].translate(digits)}, secret))


@pytest.mark.requirement("3.4")
@pytest.mark.craft
@pytest.mark.parametrize("crit", [["unknown"], ["exp"], [], "unknown"], ids=str)
def test_an_unknown_critical_header_gets_401(
    visitor: Api, secret: str, user_id: int, crit: object
) -> None:
    """RFC 7515, section 4.1.11: a recipient that does not know the extension refuses the token."""
    header = {"alg": "HS256", "crit": crit, "typ": "JWT", "unknown": 1}
    assert_refused(visitor, forge(good_claims(user_id), secret, header=header))


@pytest.mark.requirement("3.6")
@pytest.mark.craft
@pytest.mark.parametrize("claim", ["sub", "iat", "exp", "jti"])
def test_a_signed_token_without_a_required_claim_gets_401(
    visitor: Api, secret: str, user_id: int, claim: str
) -> None:
    claims = good_claims(user_id)
    del claims[claim]
    assert_refused(visitor, forge(claims, secret))


@pytest.mark.requirement("3.6")
@pytest.mark.craft
@pytest.mark.parametrize(
    "payload",
    [[], "text", 1, None, b"garbage", b"\xff", b"", b"[" * 10_000],
)
def test_a_signed_token_without_claims_gets_401(visitor: Api, secret: str, payload: Any) -> None:
    assert_refused(visitor, forge(payload, secret))


@pytest.mark.requirement("3.6")
@pytest.mark.contract("U9")
@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_a_token_signed_with_another_algorithm_gets_401(
    visitor: Api, secret: str, claims: dict[str, Any], algorithm: str
) -> None:
    assert_refused(visitor, forge(claims, secret, algorithm=algorithm))


@pytest.mark.requirement("3.6")
@pytest.mark.contract("U9")
@pytest.mark.parametrize("algorithm", ["none", "RS256", "ES256", "hs256", "", None])
def test_a_token_that_names_another_algorithm_gets_401(
    visitor: Api, secret: str, claims: dict[str, Any], algorithm: str | None
) -> None:
    header = {"alg": algorithm, "typ": "JWT"}
    assert_refused(visitor, forge(claims, secret, header=header))


@pytest.mark.requirement("3.4")
@pytest.mark.contract("U9")
def test_the_token_of_a_deleted_user_never_works_for_another_user(
    visitor: Api, launched_server: LaunchedServer, stage: int
) -> None:
    # The capstone caches a user for some seconds and does not see this direct change.
    patience = 10.0 if stage >= 9 else 0.0
    username = new_account(visitor)
    user = visitor.with_token(token_of(visitor, username))
    gone = user.request("GET", "/users/me").json()["id"]
    launched_server.database.execute("DELETE FROM users WHERE id = ?", gone)
    eventually(lambda: user.request("GET", "/users/me").status_code == 401, within=patience)
    assert_refused(visitor, user.token or "")
    assert user.request("GET", "/todos").status_code == 401
    assert sign_in(visitor, username).status_code == 401
    # The highest id was just deleted: the old token must not work for the next user.
    assert register(visitor, username).json()["id"] != gone
    assert_refused(visitor, user.token or "")
