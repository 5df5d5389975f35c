"""Passwords and tokens. Every use of passlib and python-jose is in this file.

Three promises: hashing a password never holds up other requests; whoever signs in waits for their
own attempts and for one of each other client, not for all of a crowd; and a token is believed only
when it is, character by character, one that we signed, that has not expired and says whose it is.
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
# Hashing keeps a processor core busy: leave one to everybody else.
HASHES_AT_ONCE = max(1, (os.cpu_count() or 2) - 1)
MAX_WAITING = 20  # clients whose turn it is next
MAX_WAITING_EACH = 20  # attempts of one client

Result = TypeVar("Result")


class InvalidToken(Exception):
    """The token is expired, not ours, or not a token."""


class TooManyAtOnce(HTTPException):
    """Too many attempts of one client wait already: answered with 429."""

    def __init__(self) -> None:
        detail = "Too many attempts from your address at once: try again"
        super().__init__(429, detail, {"Retry-After": RETRY_AFTER})


class Verdict(NamedTuple):
    """Whether the password is right, and the hash to keep when the stored one has an old cost."""

    matches: bool
    new_hash: str | None


class PasswordHasher:
    """Makes and checks bcrypt hashes in worker threads: a few at once, one for each client.

    A check takes as long as one at the higher of `rounds` and `highest_cost`, which is the highest
    cost of all stored hashes: whether there is a hash, and how old it is, must not show in time.
    """

    def __init__(self, rounds: int, *, highest_cost: int = 0) -> None:
        self._context = CryptContext(
            schemes=["bcrypt"],
            bcrypt__rounds=rounds,
            # Whatever has another cost is hashed anew when its user signs in.
            bcrypt__min_rounds=rounds,
            bcrypt__max_rounds=rounds,
        )
        self._cost = max(rounds, highest_cost)
        self._dummy_hash: str = bcrypt.using(rounds=self._cost).hash(secrets.token_urlsafe())
        self._threads = CapacityLimiter(HASHES_AT_ONCE)
        # One turn a client, as long as it has attempts: the threads are shared out among clients.
        self._turns: WeakValueDictionary[str, CapacityLimiter] = WeakValueDictionary()

    async def hash(self, password: str, *, client: str) -> str:
        """Return the hash of a password; raises `TooManyAtOnce` and `Unavailable`."""
        return await self._in_turn(client, self._context.hash, normalize(password))

    async def verify(self, password: str, password_hash: str | None, *, client: str) -> Verdict:
        """Return whether the password has this hash; raises `TooManyAtOnce` and `Unavailable`.

        Without a hash the answer is no, and takes as long: time must not tell who is registered.
        """
        return await self._in_turn(client, self._check, normalize(password), password_hash)

    def _check(self, password: str, password_hash: str | None) -> Verdict:
        hashable = len(password.encode()) <= PASSWORD_MAX_BYTES and "\0" not in password
        password = password if hashable else ""
        stored = password_hash or self._dummy_hash
        matches, new_hash = self._context.verify_and_update(password, stored)
        if matches and hashable and password_hash:
            return Verdict(True, new_hash)
        # Each step of the cost doubles the time. So a cheap hash and one of each step from there
        # together take as long as one dear hash: 2¹⁰ + 2¹⁰ + 2¹¹ = 2¹².
        for cost in range(bcrypt.from_string(stored).rounds, self._cost):
            bcrypt.using(rounds=cost).hash(password)
        return Verdict(False, None)

    async def _in_turn(
        self, client: str, function: Callable[..., Result], *arguments: object
    ) -> Result:
        """Return what the function returns, in a thread, when it is this client's turn."""
        turn = self._turns.setdefault(client, CapacityLimiter(1))
        if turn.statistics().tasks_waiting >= MAX_WAITING_EACH:
            raise TooManyAtOnce
        if self._threads.statistics().tasks_waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in right now: try again")
        async with turn:
            return await to_thread.run_sync(function, *arguments, limiter=self._threads)


def create_access_token(user_id: int, *, secret: str, ttl: int) -> str:
    """Return a signed JWT (RFC 7519) that is good for `ttl` seconds."""
    now = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "iat": now,
        "exp": now + timedelta(seconds=ttl),
        "jti": secrets.token_urlsafe(16),
    }
    # A key, not the text of it: python-jose would read a text as JSON, when it can.
    token: str = jwt.encode(claims, jwk.construct(secret, ALGORITHM), algorithm=ALGORITHM)
    return token


def read_access_token(token: str, *, secret: str) -> int:
    """Return the id of the user whom the token was made for; raises `InvalidToken`."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken
    key = jwk.construct(secret, ALGORITHM)
    try:
        claims = jwt.decode(
            token,
            key,
            # Without a list python-jose takes whatever algorithm the token names, and without these
            # options it takes a token that never expires.
            algorithms=[ALGORITHM],
            options={f"require_{claim}": True for claim in ("sub", "iat", "exp", "jti")},
        )
        user_id = int(claims["sub"])
        # python-jose skips whatever is no Base64, and headers that it does not know.
        as_issued = token == jwt.encode(claims, key, algorithm=ALGORITHM)
    except (JOSEError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidToken from error
    # int() takes " 2 ", "+2" and "٢", too: what counts is the one spelling that we write.
    if not as_issued or claims["sub"] != str(user_id) or not 1 <= user_id <= MAX_INTEGER:
        raise InvalidToken
    return user_id
