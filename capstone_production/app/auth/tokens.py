"""Staying signed in although access tokens are short-lived; and access tokens that were verified.

A refresh token is 256 random bits; the database has only its hash, which helps no thief. It is good
for one use, which gives its successor. All that follow from one sign-in are a family. Using one
twice means that two have it and one of them stole it (RFC 9700, section 4.14.2): the family is
revoked, and whoever knows the password signs in again. So is a client that lost an answer and asks
once more. A family ends `REFRESH_TOKEN_TTL` seconds after the sign-in, however often it was used.
"""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cachetools import TTLCache
from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import aliased

from app.auth.models import RefreshToken
from app.auth.security import AccessToken, InvalidToken, read_access_token

DELETED_AT_ONCE = 1000
MAX_TOKENS = 10_000  # each of MAX_TOKEN_LENGTH characters at most: 5 MB
BELIEVED_FOR = 60  # seconds, until the signature is looked at again


class IssuedToken(NamedTuple):
    """A new refresh token: this is the only time that it is known here."""

    token: str
    user_id: int
    expires_at: datetime


def start_family(session: AsyncSession, user_id: int, *, ttl: int) -> IssuedToken:
    """Return the first token of a sign-in, which is good for `ttl` seconds."""
    expires_at = datetime.now(UTC) + timedelta(seconds=ttl)
    return add_token(session, user_id, uuid.uuid4(), expires_at)


def add_token(
    session: AsyncSession, user_id: int, family_id: uuid.UUID, expires_at: datetime
) -> IssuedToken:
    """Return a new token of this family."""
    token = secrets.token_urlsafe(32)
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
    """Return what is stored. Nobody guesses 256 bits, so this hash may be a fast one."""
    return hashlib.sha256(token.encode()).digest()


async def rotate(session: AsyncSession, token: str) -> IssuedToken:
    """Return the token's successor, or revoke its family and raise `InvalidToken`.

    One UPDATE decides, so of two that come at once with the same token one wins; the other one
    finds it used.
    """
    now = datetime.now(UTC)
    relative = aliased(RefreshToken)
    statement = (
        update(RefreshToken)
        .where(
            RefreshToken.token_hash == hash_token(token),
            RefreshToken.used_at.is_(None),
            RefreshToken.expires_at > now,
            ~exists().where(
                relative.family_id == RefreshToken.family_id, relative.revoked_at.is_not(None)
            ),
        )
        .values(used_at=now)
        .returning(RefreshToken.user_id, RefreshToken.family_id, RefreshToken.expires_at)
        .execution_options(synchronize_session=False)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        await revoke_family(session, token)
        await session.commit()  # at once: the error that follows rolls everything else back
        raise InvalidToken
    return add_token(session, row.user_id, row.family_id, row.expires_at)


async def revoke_family(session: AsyncSession, token: str) -> None:
    """Make all tokens of this one's family worthless; does nothing when there is no such token.

    One mark is enough, because `rotate` looks at the whole family. That also stops a successor that
    another request makes right now, and that an UPDATE of the family would not see yet.
    """
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.token_hash == hash_token(token), RefreshToken.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .execution_options(synchronize_session=False)
    )


async def remove_expired_tokens(engine: AsyncEngine) -> None:
    """Remove the families that have ended, some at a time: no statement takes long.

    Until then a used token is kept, to be recognised.
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
    """Access tokens that were verified a moment ago: a client sends the same one with each request.

    One that was not signed by us never gets in.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._tokens: TTLCache[str, AccessToken] = TTLCache(MAX_TOKENS, BELIEVED_FOR)

    def read(self, token: str) -> AccessToken:
        """Return the token's user and the time when it expires; raises `InvalidToken`."""
        try:
            access = self._tokens[token]
        except KeyError:
            access = self._tokens[token] = read_access_token(token, secret=self._secret)
        if access.expires_at <= datetime.now(UTC):
            raise InvalidToken
        return access
