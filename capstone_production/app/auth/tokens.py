"""Refresh tokens, which keep a client signed in; and access tokens that were verified.

A refresh token is 256 random bits. The database has only its hash, which is useless to a thief. A
token works once, and its use returns a successor. All tokens of one sign-in are a family. If a
token is used twice, two clients have it and one may be a thief (RFC 9700, section 4.14.2). The
family is then revoked, and the user has to sign in again. This also happens to a client that lost
an answer and repeats its request, unless it names the attempt, as our pages do. A family ends
`REFRESH_TOKEN_TTL` seconds after the sign-in.
"""

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cachetools import TTLCache
from sqlalchemy import ColumnElement, and_, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import aliased

from app.auth.models import RefreshToken
from app.auth.security import AccessToken, InvalidToken, read_access_token

DELETED_AT_ONCE = 1000
MAX_TOKENS = 10_000  # each of MAX_TOKEN_LENGTH characters at most: 5 MB
BELIEVED_FOR = 60  # seconds until the signature is checked again


class IssuedToken(NamedTuple):
    """A new refresh token. The server forgets it after the answer, and keeps only its hash."""

    token: str
    user_id: int
    expires_at: datetime


def start_family(session: AsyncSession, user_id: int, *, ttl: int) -> IssuedToken:
    """Return the first token of a sign-in, which is valid for `ttl` seconds."""
    expires_at = datetime.now(UTC) + timedelta(seconds=ttl)
    return add_token(session, new_token(), user_id, uuid.uuid4(), expires_at)


def new_token() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def add_token(
    session: AsyncSession, token: str, user_id: int, family_id: uuid.UUID, expires_at: datetime
) -> IssuedToken:
    """Store a new token of this family and return it."""
    session.add(
        RefreshToken(
            token_hash=hash_token(token),
            family_id=family_id,
            user_id=user_id,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
        )
    )
    return IssuedToken(token, user_id, expires_at)


def hash_token(token: str) -> bytes:
    """Return the hash to store. It may be a fast one, since 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()


def successor_of(token: str, attempt: str) -> str:
    """Return the successor for this attempt: always the same, and secret as the token is."""
    digest = hmac.digest(token.encode(), attempt.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_valid(token: str) -> ColumnElement[bool]:
    """Return the condition that finds the token if it is unused, unexpired and not revoked."""
    relative = aliased(RefreshToken)
    is_revoked = exists().where(
        relative.family_id == RefreshToken.family_id, relative.revoked_at.is_not(None)
    )
    return and_(
        RefreshToken.token_hash == hash_token(token),
        RefreshToken.used_at.is_(None),
        RefreshToken.expires_at > datetime.now(UTC),
        ~is_revoked,
    )


async def rotate(session: AsyncSession, token: str, attempt: str | None = None) -> IssuedToken:
    """Return the token's successor, or revoke its family and raise `InvalidToken`.

    One UPDATE decides: of two simultaneous requests with the same token one succeeds, and the
    other one finds the token used. `attempt` is a random name that the client gave to its request.
    When it repeats the request, it gets the same successor again, until that one is used.
    """
    successor = successor_of(token, attempt) if attempt else new_token()
    statement = (
        update(RefreshToken)
        .where(is_valid(token))
        .values(used_at=datetime.now(UTC))
        .returning(RefreshToken.user_id, RefreshToken.family_id, RefreshToken.expires_at)
        .execution_options(synchronize_session=False)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None and attempt:  # perhaps a repeated request: the answer to the first was lost
        issued = await session.scalar(select(RefreshToken).where(is_valid(successor)))
        if issued is not None:
            return IssuedToken(successor, issued.user_id, issued.expires_at)
    if row is None:
        await revoke_family(session, token)
        await session.commit()  # now, because the error below rolls back all that is uncommitted
        raise InvalidToken
    return add_token(session, successor, row.user_id, row.family_id, row.expires_at)


async def revoke_family(session: AsyncSession, token: str) -> None:
    """Revoke the family of this token; an unknown token changes nothing.

    One marked row is enough, because `rotate` checks the whole family. The mark also stops a
    successor that another request adds at this moment. An UPDATE of the family would miss that row.
    """
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.token_hash == hash_token(token), RefreshToken.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .execution_options(synchronize_session=False)
    )


async def remove_expired_tokens(engine: AsyncEngine) -> None:
    """Remove the families that have ended, in batches, so that no statement takes long.

    Used tokens stay until then, so a second use is recognised.
    """
    has_ended = RefreshToken.expires_at < datetime.now(UTC)
    some = select(RefreshToken.id).where(has_ended).order_by(RefreshToken.expires_at)
    some = some.limit(DELETED_AT_ONCE).with_for_update(skip_locked=True)
    deleted = DELETED_AT_ONCE
    while deleted >= DELETED_AT_ONCE:
        async with engine.begin() as connection:
            statement = delete(RefreshToken).where(RefreshToken.id.in_(some))
            deleted = (await connection.execute(statement)).rowcount


class VerifiedTokens:
    """Remembers verified access tokens, since a client sends the same one with each request.

    A token is valid when one of the secrets signed it. A token with a wrong signature is never
    remembered.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._tokens: TTLCache[str, AccessToken] = TTLCache(MAX_TOKENS, BELIEVED_FOR)

    def read(self, token: str) -> AccessToken:
        """Return the token's user and the time when it expires; raises `InvalidToken`."""
        try:
            access = self._tokens[token]
        except KeyError:
            access = self._tokens[token] = self._verify(token)
        if access.expires_at <= datetime.now(UTC):
            raise InvalidToken
        return access

    def _verify(self, token: str) -> AccessToken:
        for secret in self._secrets:
            with suppress(InvalidToken):
                return read_access_token(token, secret=secret)
        raise InvalidToken
