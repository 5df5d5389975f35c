"""Passwords and tokens. Every use of passlib and python-jose is in this file.

Two promises: hashing a password never holds up other requests, and a token is believed only when we
signed it, it has not expired and it says whose it is.
"""

import os
import secrets

from anyio import CapacityLimiter
from passlib.context import CryptContext

from app.errors import Unavailable

ALGORITHM = "HS256"
# Hashing keeps a processor core busy: leave one to everybody else.
HASHES_AT_ONCE = max(1, (os.cpu_count() or 2) - 1)
MAX_WAITING = 100


class InvalidToken(Exception):
    """The token is expired, not ours, or not a token."""


class PasswordHasher:
    """Makes and checks bcrypt hashes in worker threads, a few at once."""

    def __init__(self, rounds: int) -> None:
        self._context = CryptContext(schemes=["bcrypt"], bcrypt__rounds=rounds)
        self._threads = CapacityLimiter(HASHES_AT_ONCE)
        self._dummy_hash = self._context.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """Return the hash of a password; raises `Unavailable`."""
        # TODO 3.5: Passwords are hashed with bcrypt
        raise NotImplementedError("TODO 3.5: Passwords are hashed with bcrypt")

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password has this hash; raises `Unavailable`.

        Without a hash the answer is no, and takes as long: time must not tell who is registered.
        """
        # TODO 3.5: Passwords are hashed with bcrypt
        raise NotImplementedError("TODO 3.5: Passwords are hashed with bcrypt")

    def _refuse_when_overloaded(self) -> None:
        if self._threads.statistics().tasks_waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in right now: try again")


def create_access_token(user_id: int, *, secret: str, ttl: int) -> str:
    """Return a signed JWT (RFC 7519) that is good for `ttl` seconds."""
    # TODO 3.3: A JWT is issued
    raise NotImplementedError("TODO 3.3: A JWT is issued")


def read_access_token(token: str, *, secret: str) -> int:
    """Return the id of the user whom the token was made for; raises `InvalidToken`."""
    # TODO 3.6: Tokens are made and read by python-jose
    raise NotImplementedError("TODO 3.6: Tokens are made and read by python-jose")
