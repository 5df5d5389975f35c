"""Registering and signing in, and the limits that the contract sets."""

from __future__ import annotations

import json
import secrets
import string

import httpx

from course.harness.driver import Api

USERNAME_LENGTHS = (3, 50)  # characters
USERNAME_CHARACTERS = string.ascii_letters + string.digits + "_.-"
PASSWORD_SHORTEST = 8  # characters
PASSWORD_LONGEST = 72  # bytes in UTF-8
PASSWORD = "correct horse 1"

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def new_username() -> str:
    """Return a name that no user has, with letters in both cases."""
    return f"User_{secrets.token_hex(8)}"


def register(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    """Send a registration and return the answer, also when it is an error.

    The body is ASCII, so half a surrogate pair is sent as a JSON escape.
    """
    body = json.dumps({"username": username, "password": password})
    return api.request("POST", "/auth/register", content=body.encode("ascii"))


def sign_in(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    """Send the OAuth2 password form and return the answer, also when it is an error."""
    return api.request("POST", "/auth/token", data={"username": username, "password": password})


def new_account(api: Api, password: str = PASSWORD) -> str:
    """Register a user with a new name and return that name."""
    username = new_username()
    answer = register(api, username, password)
    assert answer.status_code == httpx.codes.CREATED, f"expected 201, got {answer.status_code}"
    return username


def token_of(api: Api, username: str, password: str = PASSWORD) -> str:
    """Sign in and return the access token."""
    answer = sign_in(api, username, password)
    assert answer.status_code == httpx.codes.OK, f"expected 200, got {answer.status_code}"
    token: str = answer.json()["access_token"]
    return token
