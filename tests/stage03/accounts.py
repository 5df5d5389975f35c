"""Registering and signing in, as any program would, and the limits that the contract sets."""

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
    """Return a name that nobody has, in upper and lower case."""
    return f"User_{secrets.token_hex(8)}"


def register(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    """Ask for a new user and return the answer, whatever it is.

    The body is ASCII: half a surrogate pair goes out as JSON can say it.
    """
    body = json.dumps({"username": username, "password": password})
    return api.request("POST", "/auth/register", content=body.encode("ascii"))


def sign_in(api: Api, username: str, password: str = PASSWORD) -> httpx.Response:
    """Send the OAuth2 password form and return the answer, whatever it is."""
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
