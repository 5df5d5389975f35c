"""Passwords and tokens. Every use of passlib and python-jose is in this file.

Two promises: hashing a password never holds up other requests, and a token is believed only when we
signed it, it has not expired and it says whose it is.
"""

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread
from jose import jwt
from jose.exceptions import JOSEError
from passlib.context import CryptContext

from app.auth.schemas import PASSWORD_MAX_BYTES
from app.errors import Unavailable
from app.parameters import MAX_INTEGER

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
        self._refuse_when_overloaded()
        hashed: str = await to_thread.run_sync(self._context.hash, password, limiter=self._threads)
        return hashed

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password has this hash; raises `Unavailable`.

        Without a hash the answer is no, and takes as long: time must not tell who is registered.
        """
        self._refuse_when_overloaded()
        hashable = len(password.encode()) <= PASSWORD_MAX_BYTES and "\0" not in password
        matches: bool = await to_thread.run_sync(
            self._context.verify,
            password if hashable else "",
            password_hash or self._dummy_hash,
            limiter=self._threads,
        )
        return matches and hashable and password_hash is not None

    def _refuse_when_overloaded(self) -> None:
        if self._threads.statistics().tasks_waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in right now: try again")


def create_access_token(user_id: int, *, secret: str, ttl: int) -> str:
    """Return a signed JWT (RFC 7519) that is good for `ttl` seconds."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(seconds=ttl),
        "jti": secrets.token_urlsafe(16),
    }
    token: str = jwt.encode(claims, secret, algorithm=ALGORITHM)
    return token


class AccessToken(NamedTuple):
    """What a good access token says."""

    user_id: int
    expires_at: datetime


def read_access_token(token: str, *, secret: str) -> AccessToken:
    """Return whom the token was made for, and until when; raises `InvalidToken`."""
    try:
        claims = jwt.decode(
            token,
            secret,
            # Without a list python-jose takes whatever algorithm the token names, and without these
            # options it takes a token that never expires.
            algorithms=[ALGORITHM],
            options={f"require_{claim}": True for claim in ("sub", "iat", "exp", "jti")},
        )
        user_id = int(claims["sub"])
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
    except (JOSEError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise InvalidToken from error
    if not 1 <= user_id <= MAX_INTEGER:
        raise InvalidToken
    return AccessToken(user_id, expires_at)
