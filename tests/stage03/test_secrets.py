"""Requirement 3.5: a password is stored only as a bcrypt hash in one column."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.server import LaunchedServer
from tests.stage03.accounts import FORM, new_account, new_username, register, sign_in, token_of

pytestmark = pytest.mark.craft

HASH_LENGTH = 60
NOT_ITS_OWN = {".venv", "node_modules", ".git", "__pycache__"}  # no server writes there
LOWEST_COST = "$2b$04$"  # the prefix for BCRYPT_ROUNDS=4


def stored_hash(server: LaunchedServer, username: str) -> str:
    """Return the hash in the database."""
    statement = "SELECT password_hash FROM users WHERE username = ?"
    found: str = server.database.query(statement, username)[0][0]
    return found


def everything_stored(server: LaunchedServer) -> dict[str, bytes]:
    """Return every file that the server has written, and the database as text."""
    stored = {str(path): path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file()}
    return stored | {"the database": server.database.text().encode()}


@pytest.mark.requirement("3.5")
def test_the_database_stores_a_bcrypt_hash_with_the_configured_cost(
    visitor: Api, launched_server: LaunchedServer
) -> None:
    found = stored_hash(launched_server, new_account(visitor))
    assert found.startswith(LOWEST_COST)
    assert len(found) == HASH_LENGTH


@pytest.mark.requirement("3.5")
def test_two_users_with_one_password_have_different_hashes(
    visitor: Api, launched_server: LaunchedServer
) -> None:
    hashes = {stored_hash(launched_server, new_account(visitor)) for _ in range(3)}
    assert len(hashes) == 3


@pytest.mark.requirement("3.5")
def test_the_stored_hash_does_not_work_as_a_password(
    visitor: Api, launched_server: LaunchedServer
) -> None:
    username = new_account(visitor)
    found = stored_hash(launched_server, username)
    assert sign_in(visitor, username, found).status_code == 401


@pytest.mark.requirement("3.5")
def test_no_answer_contains_a_hash(api: Api, visitor: Api, launched_server: LaunchedServer) -> None:
    username = new_username()
    registered = register(visitor, username)
    signed_in = sign_in(visitor, username)
    user = visitor.with_token(signed_in.json()["access_token"])
    answers = [registered, signed_in, user.request("GET", "/users/me")]
    answers += [sign_in(visitor, username, "wrong password"), register(visitor, username)]
    user.create_todo()
    answers += [user.request("GET", "/todos"), api.request("GET", "/users/me")]
    found = stored_hash(launched_server, username)
    for answer in answers:
        everything = answer.text + str(answer.headers)
        assert found not in everything
        assert "password" not in answer.json()
        assert "password_hash" not in answer.json()


@pytest.mark.requirement("3.5")
@pytest.mark.contract("U3")
def test_the_log_and_the_files_contain_no_password_and_no_token(
    visitor: Api, launched_server: LaunchedServer
) -> None:
    mark, password = launched_server.log_mark(), f"only-here-{secrets.token_hex(12)}"
    username = new_account(visitor, password)
    token = token_of(visitor, username, password)
    user = visitor.with_token(token)
    user.create_todo()
    # The errors of a request must not show it either.
    register(visitor, username, password)
    register(visitor, "x", password)
    register(visitor, new_username(), password * 3)
    visitor.request("POST", "/auth/register", content=f'{{"password": "{password}'.encode())
    visitor.request("POST", "/auth/register", json={"username": [password], "password": [password]})
    sign_in(visitor, username, password + "?")
    sign_in(visitor, "nobody", password)
    sign_in(visitor, "nobody\0", password + "\0")
    visitor.request("POST", "/auth/token", content=f"password={password}".encode(), headers=FORM)
    visitor.with_token(token[:-5]).request("GET", "/users/me")
    user.request("POST", "/todos", content=b"{")

    log = launched_server.log_since(mark)
    assert "/auth/token" in log  # the log contains this request
    stored = everything_stored(launched_server)
    assert any(username.encode() in content for content in stored.values())
    _, payload, signed = token.split(".")
    for secret in (password, payload, signed):
        assert secret not in log
        assert [path for path, content in stored.items() if secret.encode() in content] == []


def written_since(began: float, directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the files below a directory that were written since `began`, with their contents."""
    for place, directories, names in os.walk(directory):
        directories[:] = [name for name in directories if name not in NOT_ITS_OWN]
        for path in (Path(place, name) for name in names):
            with suppress(OSError):  # deleted meanwhile, or not readable
                if path.is_file() and path.stat().st_mtime >= began:
                    yield path, path.read_bytes()


@pytest.mark.requirement("3.5")
@pytest.mark.contract("U3")
@pytest.mark.own_stage
def test_the_files_and_the_log_contain_no_password(restartable: LaunchedServer) -> None:
    """The test reads the log, the database file if there is one, and the server's directory."""
    password, began = f"only-here-{secrets.token_hex(12)}", time.time() - 1
    with Api(restartable) as visitor:
        username = new_account(visitor, password)
        visitor.with_token(token_of(visitor, username, password)).request("GET", "/users/me")
        register(visitor, username, password)
        register(visitor, "x", password)
        sign_in(visitor, "nobody", password)
    assert password not in restartable.log_text()
    for place in (restartable.data_dir, restartable.log_file.parent):
        holding = [path for path, held in written_since(began, place) if password.encode() in held]
        assert holding == []


@pytest.mark.requirement("3.5")
@pytest.mark.parametrize("setting", ["JWT_SECRET", "BCRYPT_ROUNDS", "DATABASE_URL"])
def test_the_log_contains_no_secret_setting(launched_server: LaunchedServer, setting: str) -> None:
    value = launched_server.settings.get(setting)
    assert not value or len(value) < 8 or value not in launched_server.log_text()
