"""Requirements 3.1 and 3.5: registration, and the rules for usernames and passwords."""

import json
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest

from course.harness.contract import variants
from course.harness.driver import Api
from course.harness.problems import field_errors, named
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage03.accounts import (
    PASSWORD,
    PASSWORD_LONGEST,
    PASSWORD_SHORTEST,
    USERNAME_CHARACTERS,
    USERNAME_LENGTHS,
    new_account,
    new_username,
    register,
    sign_in,
    token_of,
)

SHORTEST_NAME, LONGEST_NAME = USERNAME_LENGTHS
MARKER = "hunter2-do-not-repeat-me"
AT_ONCE = 20
A_MOMENT = 0.4  # seconds: enough for all of them to reach the locked database


def random_name(length: int) -> str:
    """Return a name of this length, made of any allowed characters."""
    return "".join(secrets.choice(USERNAME_CHARACTERS) for _ in range(length))


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U1", "U3", "U5", "E2")
def test_the_answer_to_a_registration_contains_no_secret(visitor: Api) -> None:
    username = new_username()
    answer = register(visitor, username)
    assert answer.status_code == 201
    user = answer.json()
    assert {"id", "username", "created_at"} <= set(user) <= {"id", "username", "created_at", "role"}
    assert type(user["id"]) is int
    assert user["username"] == username
    assert datetime.fromisoformat(user["created_at"]).utcoffset() == timedelta(0)
    assert PASSWORD not in answer.text
    assert "$2" not in answer.text


@pytest.mark.requirement("3.1")
@pytest.mark.contract("E15")
def test_a_registration_answers_with_a_location_header(visitor: Api) -> None:
    assert register(visitor, new_username()).headers["location"]


@pytest.mark.requirement("3.1")
@pytest.mark.craft
def test_the_location_header_is_the_url_of_the_new_user(visitor: Api) -> None:
    username = new_username()
    answer = register(visitor, username)
    user = visitor.with_token(token_of(visitor, username))
    location = urljoin(str(answer.url), answer.headers["location"])
    assert user.request("GET", location).json() == answer.json()


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U7")
def test_users_me_returns_the_signed_in_user(visitor: Api) -> None:
    username = new_username()
    registered = register(visitor, username).json()
    answer = visitor.with_token(token_of(visitor, username)).request("GET", "/users/me")
    assert (answer.status_code, answer.json()) == (200, registered)


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U2")
@pytest.mark.parametrize("length", USERNAME_LENGTHS)
def test_a_name_has_3_to_50_characters(visitor: Api, length: int) -> None:
    for _ in range(5):  # another user may already have a short name
        name = random_name(length)
        answer = register(visitor, name)
        if answer.status_code != 409:
            break
    assert (answer.status_code, answer.json()["username"]) == (201, name)


@pytest.mark.requirement("3.1")
@pytest.mark.contract("E4", "U2")
@pytest.mark.parametrize("length", [0, SHORTEST_NAME - 1, LONGEST_NAME + 1, 5000])
def test_a_name_of_another_length_gets_422(visitor: Api, length: int) -> None:
    answer = register(visitor, random_name(length))
    assert answer.status_code == 422
    assert "username" in named(answer)


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U2")
@pytest.mark.parametrize("start", ["-._", "___", "...", "123"])
def test_a_name_may_contain_each_allowed_character(visitor: Api, start: str) -> None:
    name = f"{start}{new_username()}{start}"
    answer = register(visitor, name)
    assert (answer.status_code, answer.json()["username"]) == (201, name)
    assert sign_in(visitor, name).status_code == 200


ODD = [
    *("\n", "\r\n", " ", "\t", "\0", "é", "ж", "ａ", "\u212a", "ı", "\u200b", "\u0301", "🥛"),
    *("@", "/", "\\", "%", "+", "'", '"', "<", "$", "|", "\u2028", "\ud800", "٣"),
]
HALF_A_PAIR = "\ud800"


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U2")
@pytest.mark.parametrize("odd", variants(ODD, craft=HALF_A_PAIR))
def test_a_name_with_a_forbidden_character_inside_gets_422(visitor: Api, odd: str) -> None:
    """Some servers strip white space around the name."""
    name = new_username()
    for placed in (f"{name[:5]}{odd}{name[5:]}", odd * 5, *([] if odd.isspace() else [odd + name])):
        assert register(visitor, placed).status_code == 422, ascii(placed)


@pytest.mark.requirement("3.1")
@pytest.mark.craft
@pytest.mark.parametrize("odd", ODD)
def test_a_name_with_a_forbidden_character_anywhere_gets_422(visitor: Api, odd: str) -> None:
    name = new_username()
    for placed in (odd + name, f"{name[:5]}{odd}{name[5:]}", name + odd, odd * 5):
        assert register(visitor, placed).status_code == 422, ascii(placed)


@pytest.mark.requirement("3.1")
@pytest.mark.contract("U2", "U5")
@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase], ids=lambda f: f.__name__)
def test_a_taken_name_in_another_case_gets_409(visitor: Api, change: Callable[[str], str]) -> None:
    username = new_account(visitor)
    answer = register(visitor, change(username), "another password")
    assert answer.status_code == 409
    assert isinstance(answer.json()["detail"], str)
    assert sign_in(visitor, username).status_code == 200  # the first user's password is unchanged
    assert sign_in(visitor, username, "another password").status_code == 401


@pytest.mark.requirement("3.1")
@pytest.mark.own_stage("app/auth/")
@pytest.mark.contract("U2", "U5")
def test_twenty_concurrent_registrations_of_one_name_create_one_user(visitor: Api) -> None:
    username = new_username()
    spellings = [str.lower, str.upper, str.swapcase, str.title]
    attempts = [(spellings[n % 4](username), f"password {n:04}") for n in range(AT_ONCE)]
    answers = in_parallel(AT_ONCE, lambda number: register(visitor, *attempts[number]))
    assert not answers.errors
    statuses = [answer.status_code for answer in answers.results]
    assert sorted(statuses) == [201] + [409] * (AT_ONCE - 1)
    winner = statuses.index(201)
    assert answers.results[winner].json()["username"] == attempts[winner][0]
    name = attempts[winner][0]  # the contract does not say whether another spelling signs in
    able = [sign_in(visitor, name, password).status_code for _, password in attempts[::5]]
    assert able.count(200) == (winner % 5 == 0)
    assert sign_in(visitor, *attempts[winner]).status_code == 200


@pytest.mark.requirement("3.1")
@pytest.mark.own_stage("app/auth/")
@pytest.mark.craft
def test_concurrent_registrations_after_a_lock_create_one_user(
    visitor: Api, launched_server: LaunchedServer
) -> None:
    """A server that first selects and then inserts finds the name free for every request."""
    username = new_username()
    busy, free = threading.Event(), threading.Event()

    def keep_busy() -> None:
        with launched_server.database.write_lock():
            busy.set()
            free.wait(A_MOMENT)

    other_program = threading.Thread(target=keep_busy)
    other_program.start()
    busy.wait()
    answers = in_parallel(AT_ONCE, lambda _: register(visitor, username).status_code)
    other_program.join()
    assert not answers.errors
    assert sorted(answers.results) == [201] + [409] * (AT_ONCE - 1)


@pytest.mark.requirement("3.1", "3.5")
@pytest.mark.contract("U3", "U6")
@pytest.mark.parametrize(
    "password",
    variants(
        [
            *("p" * PASSWORD_SHORTEST, "p" * PASSWORD_LONGEST),
            *("é" * PASSWORD_SHORTEST, "é" * (PASSWORD_LONGEST // 2)),
            *("🥛" * PASSWORD_SHORTEST, "🥛" * (PASSWORD_LONGEST // 4)),
            *("        ", "  a space at each end  ", "tab\tand\nnewline", "%41+&=%zz;\"'\\"),
            "\ufeffa byte order mark",
        ],
        craft=["        ", "tab\tand\nnewline", "\ufeffa byte order mark"],
    ),
)
def test_a_password_of_8_characters_to_72_bytes_is_accepted(visitor: Api, password: str) -> None:
    username = new_account(visitor, password)
    assert sign_in(visitor, username, password).status_code == 200
    assert sign_in(visitor, username, password.strip() + "?").status_code == 401


@pytest.mark.requirement("3.1", "3.5")
@pytest.mark.contract("E4", "U3")
@pytest.mark.parametrize(
    "password",
    variants(
        [
            *("", "p" * (PASSWORD_SHORTEST - 1), "🥛" * (PASSWORD_SHORTEST - 1)),
            *("p" * (PASSWORD_LONGEST + 1), "é" * (PASSWORD_LONGEST // 2 + 1)),
            *("é" * (PASSWORD_LONGEST // 2) + "p", "🥛" * (PASSWORD_LONGEST // 4) + "p"),
            *("p" * 5_000, "a NUL \0 in the middle", "a NUL at the end\0"),
            *("half a pair \ud800", "\udfff the other half"),
        ],
        craft=[
            *("🥛" * (PASSWORD_SHORTEST - 1), "a NUL \0 in the middle", "a NUL at the end\0"),
            *("half a pair \ud800", "\udfff the other half"),
        ],
    ),
)
def test_a_short_password_or_one_that_bcrypt_cannot_hash_gets_422(
    visitor: Api, password: str
) -> None:
    answer = register(visitor, new_username(), password)
    assert answer.status_code == 422
    assert "password" in named(answer)
    assert not password or password not in answer.text


@pytest.mark.requirement("3.1")
@pytest.mark.craft("U4")
def test_a_password_is_measured_in_its_composed_unicode_form(visitor: Api) -> None:
    """RFC 8265: `e` with a combining accent is one character, like `é`."""
    decomposed = "e\u0301"
    longest = decomposed * (PASSWORD_LONGEST // 2)
    assert sign_in(visitor, new_account(visitor, longest), longest).status_code == 200
    too_short = decomposed * (PASSWORD_SHORTEST // 2)
    assert register(visitor, new_username(), too_short).status_code == 422


@pytest.mark.requirement("3.1", "3.5")
@pytest.mark.contract("U3", "U6")
def test_every_byte_of_a_password_counts(visitor: Api) -> None:
    """bcrypt reads 72 bytes: a longer password must be refused, not truncated."""
    longest = "p" * (PASSWORD_LONGEST - 1) + "1"
    username = new_account(visitor, longest)
    for wrong in (longest[:-1] + "2", longest[:-1]):
        assert sign_in(visitor, username, wrong).status_code == 401
    for wrong in (longest + "1", longest * 2):
        assert sign_in(visitor, username, wrong).status_code in (401, 422)
    letters = "é" * (PASSWORD_LONGEST // 2)
    username = new_account(visitor, letters)
    for wrong in (letters[:-1] + "è", letters[:-1]):
        assert sign_in(visitor, username, wrong).status_code == 401
    assert sign_in(visitor, username, letters + "é").status_code in (401, 422)
    assert sign_in(visitor, new_account(visitor, "12345678"), "1234567").status_code == 401


@pytest.mark.requirement("3.1", "3.5")
@pytest.mark.craft
def test_a_wrong_password_of_any_length_or_with_a_nul_gets_401(visitor: Api) -> None:
    longest = "p" * PASSWORD_LONGEST
    username = new_account(visitor, longest)
    for wrong in (longest + "1", longest + "\0", longest * 2):
        assert sign_in(visitor, username, wrong).status_code == 401
    username = new_account(visitor, "12345678")
    for wrong in ("12345678\0", "12345678\0" + "9" * 8):
        assert sign_in(visitor, username, wrong).status_code == 401


@pytest.mark.requirement("3.1")
@pytest.mark.craft("E9")
@pytest.mark.parametrize(
    "extra",
    [
        {"role": "admin"},
        {"id": 1},
        {"is_admin": True},
        {"password_hash": "$2b$04$" + "a" * 53},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"email": "a@example.org"},
    ],
)
def test_an_unknown_field_gets_422_and_creates_no_user(visitor: Api, extra: dict[str, Any]) -> None:
    username = new_username()
    body = {"username": username, "password": PASSWORD} | extra
    assert visitor.request("POST", "/auth/register", json=body).status_code == 422
    assert sign_in(visitor, username).status_code == 401  # and no user was created


@pytest.mark.requirement("3.1")
@pytest.mark.contract("E4", "U3")
@pytest.mark.parametrize(
    "body",
    [
        {"username": "x", "password": MARKER},
        {"username": None, "password": MARKER},
        {"password": MARKER},
        {"username": "somebody", "password": [MARKER]},
        {"username": "somebody", "password": {"password": MARKER}},
        {"username": "somebody", "password": MARKER * 5},
        {"username": "somebody", "password": None},
        {"username": "somebody", "password": 12345678},
        {"username": "somebody"},
    ],
)
def test_a_422_does_not_repeat_the_password(visitor: Api, body: Any) -> None:
    answer = visitor.request("POST", "/auth/register", json=body)
    assert answer.status_code == 422
    assert field_errors(answer)
    assert MARKER not in answer.text


@pytest.mark.requirement("3.1")
@pytest.mark.craft("E8")
@pytest.mark.parametrize(
    "body",
    [
        {"username": "x", "password": MARKER},
        {"username": MARKER + "\n", "password": MARKER},
        {"username": [MARKER], "password": MARKER},
        {"username": None, "password": MARKER},
        {"usernam": MARKER, "password": MARKER},
        {"password": MARKER},
        {"username": "somebody", "password": [MARKER]},
        {"username": "somebody", "password": {"password": MARKER}},
        {"username": "somebody", "password": MARKER * 5},
        {"username": "somebody", "password": MARKER + "\0"},
        {"username": "somebody", "password": MARKER + "\ud800"},
        {"username": "somebody", "password": MARKER, "password_again": MARKER},
        {"username": "somebody", "password": None},
        {"username": "somebody", "password": 12345678},
        {"username": "somebody"},
        [MARKER],
        MARKER,
        None,
    ],
)
def test_a_422_repeats_neither_the_name_nor_the_password(visitor: Api, body: Any) -> None:
    content = json.dumps(body).encode("ascii")
    answer = visitor.request("POST", "/auth/register", content=content)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert MARKER not in answer.text


@pytest.mark.requirement("3.1")
@pytest.mark.contract("E4", "E6")
@pytest.mark.parametrize(
    "text",
    variants(
        [
            '{"username": "somebody", "password": "%s"',
            '{"username": "somebody", "password": NaN, "again": "%s"}',
            "username=somebody&password=%s",
        ],
        craft=['{"username": "somebody", "password": NaN, "again": "%s"}'],
    ),
)
def test_a_422_does_not_repeat_an_unreadable_body(visitor: Api, text: str) -> None:
    content = (text % MARKER).encode()
    answer = visitor.request("POST", "/auth/register", content=content)
    assert answer.status_code in (400, 422)
    assert MARKER not in answer.text
