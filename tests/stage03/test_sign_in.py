"""Requirement 3.2: a name and a password return a token; a 401 does not say which one was wrong."""

import unicodedata
from typing import Any, Literal
from urllib.parse import quote

import httpx
import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.waiting import in_parallel
from tests.stage03.accounts import FORM, PASSWORD, new_account, new_username, sign_in

Form = Literal["NFC", "NFD"]

MIB = 1024 * 1024
LONG = 8_000  # bytes
MARKER = "hunter2-do-not-repeat-me"
# These headers may differ between any two answers.
OWN_TO_EACH_ANSWER = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}


@pytest.mark.requirement("3.2")
@pytest.mark.contract("U6")
def test_signing_in_returns_a_bearer_token_and_its_lifetime(visitor: Api) -> None:
    answer = sign_in(visitor, new_account(visitor))
    assert answer.status_code == 200
    token = answer.json()
    assert {"access_token", "token_type", "expires_in"} <= set(token)
    assert token["token_type"] == "bearer"
    assert type(token["expires_in"]) is int
    assert token["expires_in"] > 0
    assert PASSWORD not in answer.text


@pytest.mark.requirement("3.2")
@pytest.mark.craft
def test_the_token_answer_forbids_caching(visitor: Api) -> None:
    """RFC 6749, section 5.1, requires this header on any answer that contains a token."""
    answer = sign_in(visitor, new_account(visitor))
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.requirement("3.2")
@pytest.mark.craft
def test_a_user_signs_in_with_the_name_in_any_case(visitor: Api) -> None:
    username = new_account(visitor)
    for spelling in (username, username.upper(), username.lower(), username.swapcase()):
        answer = sign_in(visitor, spelling)
        assert answer.status_code == 200
        me = visitor.with_token(answer.json()["access_token"]).request("GET", "/users/me")
        assert me.json()["username"] == username


@pytest.mark.requirement("3.2")
@pytest.mark.craft
@pytest.mark.parametrize("pad", [" {}", "{} ", "{}\n", "{}\0", "{}%", "\ufeff{}"])
def test_a_name_with_an_extra_character_does_not_sign_in(visitor: Api, pad: str) -> None:
    username = new_account(visitor)
    assert sign_in(visitor, pad.format(username)).status_code in (401, 422)


@pytest.mark.requirement("3.2")
@pytest.mark.contract("U6")
@pytest.mark.parametrize("wrong", [str.upper, str.title, str.strip, str.casefold])
def test_a_password_that_differs_slightly_gets_401(visitor: Api, wrong: object) -> None:
    password = " pass wOrd with spaces "
    username = new_account(visitor, password)
    assert callable(wrong)
    assert sign_in(visitor, username, wrong(password)).status_code == 401
    assert sign_in(visitor, username, password).status_code == 200


ACCENTED = "Éclair à la crème"


@pytest.mark.requirement("3.2")
@pytest.mark.craft("U4")
@pytest.mark.parametrize(("registered", "typed"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_a_password_matches_in_either_unicode_form_of_its_accents(
    visitor: Api, registered: Form, typed: Form
) -> None:
    """RFC 8265, section 4.2: some systems send é as one character, others as e and an accent."""
    username = new_account(visitor, unicodedata.normalize(registered, ACCENTED))
    answer = sign_in(visitor, username, unicodedata.normalize(typed, ACCENTED))
    assert answer.status_code == 200
    assert sign_in(visitor, username, "Eclair a la creme").status_code == 401


def visible(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Return everything that a client can compare in two answers, except the time."""
    headers = {
        name: value for name, value in answer.headers.items() if name not in OWN_TO_EACH_ANSWER
    }
    content = {name: value for name, value in answer.json().items() if name != "request_id"}
    return answer.status_code, headers, content


@pytest.mark.requirement("3.2")
@pytest.mark.contract("U6", "E16", "E5")
@pytest.mark.parametrize("wrong", ["wrong password", PASSWORD.upper(), PASSWORD + " "])
def test_a_wrong_password_and_an_unknown_name_get_401(visitor: Api, wrong: str) -> None:
    for username in (new_account(visitor), new_username()):
        answer = sign_in(visitor, username, wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].split()[0] == "Bearer"
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("3.2")
@pytest.mark.craft
@pytest.mark.parametrize("wrong", ["wrong password", "", "p" * 73, "p" * 1000, "nul\0nul\0"])
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(visitor: Api, wrong: str) -> None:
    username = new_account(visitor)
    of_a_user = sign_in(visitor, username, wrong)
    of_nobody = sign_in(visitor, new_username(), wrong)
    assert visible(of_a_user) == visible(of_nobody)
    if wrong:
        assert of_a_user.status_code == 401
        assert of_a_user.headers["www-authenticate"].split()[0] == "Bearer"
        assert isinstance(of_a_user.json()["detail"], str)
    assert of_a_user.status_code in (401, 422)


@pytest.mark.requirement("3.2")
@pytest.mark.craft
def test_signing_in_requires_a_form(visitor: Api) -> None:
    username = new_account(visitor)
    body = {"username": username, "password": PASSWORD}
    as_json = visitor.request("POST", "/auth/token", json=body)
    assert as_json.status_code in (415, 422)
    in_address = visitor.request("POST", "/auth/token", params=body)
    assert in_address.status_code == 422
    assert "access_token" not in as_json.text + in_address.text
    assert PASSWORD not in as_json.text + in_address.text
    assert visitor.request("GET", "/auth/token", params=body).status_code == 405


@pytest.mark.requirement("3.2")
@pytest.mark.contract("E4")
@pytest.mark.parametrize("field", ["username", "password"])
def test_the_error_for_an_incomplete_form_does_not_repeat_it(visitor: Api, field: str) -> None:
    form = {"username": new_account(visitor), "password": MARKER}
    del form[field]
    answer = visitor.request("POST", "/auth/token", data=form)
    assert answer.status_code in (400, 401, 422)
    assert MARKER not in answer.text


@pytest.mark.requirement("3.2")
@pytest.mark.craft
@pytest.mark.parametrize("field", ["username", "password"])
def test_an_incomplete_form_gets_422(visitor: Api, field: str) -> None:
    form = {"username": new_account(visitor), "password": MARKER}
    del form[field]
    answer = visitor.request("POST", "/auth/token", data=form)
    assert answer.status_code == 422
    assert MARKER not in answer.text


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
FIELD = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="%b"; filename="f"\r\n\r\n%b\r\n'
SECRET = MARKER.encode()

HOSTILE: dict[str, tuple[bytes, dict[str, str]]] = {
    "NUL in the name": (b"username=a%00b&password=" + SECRET, FORM),
    "NUL in the password": (b"username=somebody&password=%00" + SECRET, FORM),
    "raw NUL": (b"username=a\0b&password=" + SECRET + b"\0", FORM),
    "FF in the name": (b"username=%FF%FE&password=" + SECRET, FORM),
    "FF in the password": (b"username=somebody&password=%FF" + SECRET, FORM),
    "raw FF": (b"username=\xff&password=\xff" + SECRET, FORM),
    "a surrogate in the name": (b"username=%ED%A0%80&password=" + SECRET, FORM),
    "a surrogate in the password": (b"username=somebody&password=%ED%A0%80" + SECRET, FORM),
    "a raw surrogate": (b"username=\xed\xa0\x80&password=\xed\xa0\x80" + SECRET, FORM),
    "a half-written escape": (b"username=%&password=%E" + SECRET, FORM),
    "a password of 100 kB": (b"username=somebody&password=" + b"p" * 100_000, FORM),
    "a password of 100 000 letters": (b"username=somebody&password=" + b"%D0%B6" * 100_000, FORM),
    "a name of 100 kB": (b"username=" + b"n" * 100_000 + b"&password=" + SECRET, FORM),
    "nothing": (b"", FORM),
    "separators only": (b"&&&=&=;;&%", FORM),
    "everything twice": (b"username=a&username=b&password=x&password=" + SECRET, FORM),
    "ten thousand fields": (b"a=b&" * 10_000 + b"username=a&password=" + SECRET, FORM),
    "another grant": (b"grant_type=implicit&username=a&password=" + SECRET, FORM),
    "UTF-16": (
        "username=somebody&password=somebody".encode("utf-16"),
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-16"},
    ),
    "JSON declared as a form": (b'{"username": "a", "password": "%b"}' % SECRET, FORM),
    "a form declared as JSON": (
        b"username=a&password=" + SECRET,
        {"Content-Type": "application/json"},
    ),
    "a form without a content type": (b"username=a&password=" + SECRET, {"Content-Type": ""}),
    "multipart": (
        FIELD % (b"username", b"a") + FIELD % (b"password", SECRET) + b"--x--\r\n",
        MULTIPART,
    ),
    "multipart with FF": (
        FIELD % (b"username", b"\xff") + FIELD % (b"password", b"\xff\0" + SECRET) + b"--x--\r\n",
        MULTIPART,
    ),
    "files in place of fields": (
        FILE % (b"username", b"a") + FILE % (b"password", SECRET) + b"--x--\r\n",
        MULTIPART,
    ),
    "multipart that ends early": (FIELD % (b"username", b"a") + b"--x\r\nContent-Dis", MULTIPART),
    "a plain form declared as multipart": (b"username=a&password=" + SECRET, MULTIPART),
    "multipart without a boundary": (b"--x--\r\n", {"Content-Type": "multipart/form-data"}),
    "multipart of an unknown charset": (
        FIELD % (b"username", b"a") + FIELD % (b"password", SECRET) + b"--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x; charset=no-such"},
    ),
    # In these charsets half a surrogate pair can be written; UTF-8 cannot encode it.
    "a surrogate in the name by its charset": (
        FIELD % (b"username", b"\\ud800") + FIELD % (b"password", SECRET) + b"--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"},
    ),
    "a surrogate in the password by its charset": (
        FIELD % (b"username", b"a") + FIELD % (b"password", b"+2AA-" + SECRET) + b"--x--\r\n",
        {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"},
    ),
}


@pytest.mark.requirement("3.2")
@pytest.mark.craft("E7")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_form_is_refused_and_the_server_keeps_running(visitor: Api, name: str) -> None:
    content, headers = HOSTILE[name]
    answer = visitor.request("POST", "/auth/token", content=content, headers=headers)
    # The contract's limit is 1 MiB. A server may have a lower limit for such short fields.
    assert answer.status_code in ((401, 413, 415, 422) if len(content) > LONG else (401, 415, 422))
    assert answer.json()["detail"]
    assert MARKER not in answer.text
    assert sign_in(visitor, new_account(visitor)).status_code == 200


@pytest.mark.requirement("3.2")
@pytest.mark.contract("E22", since=4)
@pytest.mark.parametrize("chunked", [False, True], ids=["at once", "in chunks"])
@pytest.mark.parametrize(
    "path", variants(["/auth/token", "/auth/register"], craft=["/auth/register"])
)
def test_a_form_over_the_limit_gets_413(visitor: Api, path: str, chunked: bool) -> None:
    form = b"username=somebody&password=" + b"p" * MIB
    content = iter([form]) if chunked else form
    answer = visitor.request("POST", path, content=content, headers=FORM)
    assert answer.status_code == 413


@pytest.mark.requirement("3.2")
@pytest.mark.own_stage("app/auth/")
@pytest.mark.contract("U6")
def test_many_users_can_sign_in_at_the_same_time(visitor: Api) -> None:
    names = [new_account(visitor) for _ in range(20)]
    answers = in_parallel(len(names), lambda number: sign_in(visitor, names[number]))
    assert not answers.errors
    assert [answer.status_code for answer in answers.results] == [200] * len(names)
    tokens = [answer.json()["access_token"] for answer in answers.results]
    whose = [visitor.with_token(token).request("GET", "/users/me").json() for token in tokens]
    assert [user["username"] for user in whose] == names


@pytest.mark.requirement("3.2")
@pytest.mark.contract("U3", "U6")
def test_a_form_is_decoded_as_utf_8_with_and_without_escapes(visitor: Api) -> None:
    username = new_account(visitor, "пароль-🥛")
    escaped = f"username={username}&password={quote('пароль-🥛')}".encode()
    answer = visitor.request("POST", "/auth/token", content=escaped, headers=FORM)
    assert answer.status_code == 200
