"""Passwords and tokens. Every use of passlib and python-jose is in this file.

Hashing a password never blocks other requests. A client waits for its own earlier attempts, and for
one attempt of each other client. A token is valid only if we signed it, character by character, it
has not expired, and it names a user.
"""

import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException
from jose import jwk, jwt
from jose.exceptions import JOSEError
from passlib.context import CryptContext
from passlib.hash import bcrypt

from app.auth.schemas import PASSWORD_MAX_BYTES, normalize
from app.exceptions import RETRY_AFTER, Unavailable
from app.params import MAX_INTEGER

ALGORITHM = "HS256"
MAX_TOKEN_LENGTH = 512  # characters; ours have about 200
# Hashing keeps a processor core busy: one core stays free for other requests.
HASHES_AT_ONCE = max(1, (os.cpu_count() or 2) - 1)
MAX_WAITING = 20  # clients that wait for a thread
MAX_WAITING_EACH = 20  # waiting attempts of one client

Result = TypeVar("Result")


class InvalidToken(Exception):
    """The token is expired, not ours, or not a token."""


class TooManyAtOnce(HTTPException):
    """Too many attempts of one client wait already: answered with 429."""

    def __init__(self) -> None:
        detail = "Too many attempts from your address at once: try again"
        super().__init__(429, detail, {"Retry-After": RETRY_AFTER})


class Verdict(NamedTuple):
    """Whether the password is right, and a new hash if the stored one has an old cost."""

    matches: bool
    new_hash: str | None


class PasswordHasher:
    """Makes and checks bcrypt hashes in worker threads: a few at once, one for each client.

    Every check takes the time of the higher cost: `rounds`, or `highest_cost`, the highest cost of
    all stored hashes. So the time does not tell whether a hash exists, or how old it is.
    """

    def __init__(self, rounds: int, *, highest_cost: int = 0) -> None:
        self._context = CryptContext(
            schemes=["bcrypt"],
            bcrypt__rounds=rounds,
            # A hash with another cost is replaced when its user signs in.
            bcrypt__min_rounds=rounds,
            bcrypt__max_rounds=rounds,
        )
        self._cost = max(rounds, highest_cost)
        self._dummy_hash: str = bcrypt.using(rounds=self._cost).hash(secrets.token_urlsafe())
        self._threads = CapacityLimiter(HASHES_AT_ONCE)
        # One attempt of each client runs at a time, so all clients share the threads.
        self._turns: WeakValueDictionary[str, CapacityLimiter] = WeakValueDictionary()

    async def hash(self, password: str, *, client: str) -> str:
        """Return the hash of a password; raises `TooManyAtOnce` and `Unavailable`."""
        return await self._in_turn(client, self._context.hash, normalize(password))

    async def verify(self, password: str, password_hash: str | None, *, client: str) -> Verdict:
        """Return whether the password has this hash; raises `TooManyAtOnce` and `Unavailable`.

        Without a hash it fails after the same time: the time must not tell who is registered.
        """
        return await self._in_turn(client, self._check, normalize(password), password_hash)

    def _check(self, password: str, password_hash: str | None) -> Verdict:
        hashable = len(password.encode()) <= PASSWORD_MAX_BYTES and "\0" not in password
        password = password if hashable else ""
        stored = password_hash or self._dummy_hash
        matches, new_hash = self._context.verify_and_update(password, stored)
        if matches and hashable and password_hash:
            return Verdict(True, new_hash)
        # Each step of the cost doubles the time. So one cheap hash, plus one hash of each step from
        # there, takes as long as one expensive hash: 2¹⁰ + 2¹⁰ + 2¹¹ = 2¹².
        for cost in range(bcrypt.from_string(stored).rounds, self._cost):
            bcrypt.using(rounds=cost).hash(password)
        return Verdict(False, None)

    async def _in_turn(
        self, client: str, function: Callable[..., Result], *arguments: object
    ) -> Result:
        """Run the function in a thread when it is this client's turn, and return its result."""
        turn = self._turns.setdefault(client, CapacityLimiter(1))
        if turn.statistics().tasks_waiting >= MAX_WAITING_EACH:
            raise TooManyAtOnce
        if self._threads.statistics().tasks_waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in right now: try again")
        async with turn:
            return await to_thread.run_sync(function, *arguments, limiter=self._threads)


def create_access_token(user_id: int, *, secret: str, ttl: int) -> str:
    """Return a signed JWT (RFC 7519) that is valid for `ttl` seconds."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(seconds=ttl),
        "jti": secrets.token_urlsafe(16),
    }
    # A key object, because python-jose reads a text as JSON if it can.
    token: str = jwt.encode(claims, jwk.construct(secret, ALGORITHM), algorithm=ALGORITHM)
    return token


def read_access_token(token: str, *, secret: str) -> int:
    """Return the id of the token's user; raises `InvalidToken`."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken
    key = jwk.construct(secret, ALGORITHM)
    try:
        claims = jwt.decode(
            token,
            key,
            # Without a list python-jose accepts the algorithm that the token names. Without these
            # options it accepts a token that never expires.
            algorithms=[ALGORITHM],
            options={f"require_{claim}": True for claim in ("sub", "iat", "exp", "jti")},
        )
        user_id = int(claims["sub"])
        # python-jose skips characters that are not Base64, and unknown headers.
        as_issued = token == jwt.encode(claims, key, algorithm=ALGORITHM)
    except (JOSEError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidToken from error
    # int() also accepts " 2 ", "+2" and "٢". Only the spelling that we write is valid.
    if not as_issued or claims["sub"] != str(user_id) or not 1 <= user_id <= MAX_INTEGER:
        raise InvalidToken
    return user_id
