"""Registers users, signs them in, and refreshes and revokes their tokens."""

from datetime import UTC, datetime

from fastapi import HTTPException
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import HASH_COST, User, namespace
from app.auth.schemas import Token, UserCreate, is_unicode
from app.auth.security import InvalidToken, PasswordHasher, create_access_token
from app.auth.tokens import IssuedToken, revoke_family, rotate, start_family
from app.config import Settings
from app.rate_limits import AuthLimits


class UsernameTaken(HTTPException):
    """Another user has this name, in upper or lower case: answered with 409."""

    def __init__(self) -> None:
        super().__init__(409, "This username is taken")


class WrongCredentials(HTTPException):
    """The name or the password is wrong: answered with a 401 that does not say which one."""

    def __init__(self) -> None:
        super().__init__(401, "Wrong username or password", {"WWW-Authenticate": "Bearer"})


class RefreshTokenInvalid(HTTPException):
    """The refresh token is unknown, expired, used or revoked: answered with 401."""

    def __init__(self) -> None:
        detail = "The refresh token is not valid: sign in again"
        super().__init__(401, detail, {"WWW-Authenticate": "Bearer"})


class AuthService:
    """Registers users and signs them in, for the client at one address."""

    def __init__(
        self,
        session: AsyncSession,
        settings: Settings,
        hasher: PasswordHasher,
        limits: AuthLimits,
        client: str,
    ) -> None:
        self._session = session
        self._settings = settings
        self._hasher = hasher
        self._limits = limits
        self._client = client

    async def register(self, user_in: UserCreate) -> User:
        """Store a user and return it; raises `UsernameTaken`, and 429 for too many attempts."""
        await self._limits.check("register", self._client, user_in.username)
        password = user_in.password.get_secret_value()
        user = User(
            username=user_in.username,
            username_folded=user_in.username.lower(),
            password_hash=await self._hasher.hash(password, client=self._client),
            created_at=datetime.now(UTC),
        )
        self._session.add(user)
        try:
            # The constraint decides: after a SELECT another request could still take the name.
            await self._session.flush()
        except IntegrityError:
            raise UsernameTaken from None
        return user

    async def sign_in(self, username: str, password: str) -> Token:
        """Return an access token and the first refresh token of a family.

        Raises `WrongCredentials`, 422 for invalid Unicode, and 429 for too many attempts.
        """
        if not is_unicode(username + password):  # a multipart form may name any charset
            raise HTTPException(422, "Username and password should be valid Unicode")
        await self._limits.check("sign_in", self._client, username)
        user = None
        if "\0" not in username:  # PostgreSQL cannot store this text, so no user has this name
            statement = select(User).where(User.username_folded == username.lower())
            user = await self._session.scalar(statement)
        # Hashing is slow: release the database connection for other requests.
        await self._session.commit()
        stored = user.password_hash if user else None
        verdict = await self._hasher.verify(password, stored, client=self._client)
        if not user or not verdict.matches:
            raise WrongCredentials
        if verdict.new_hash:  # BCRYPT_ROUNDS has changed: store a hash with the new cost
            same = update(User).where(User.id == user.id, User.password_hash == stored)
            same = same.execution_options(cached_in=namespace(user.id))
            await self._session.execute(same.values(password_hash=verdict.new_hash))
        return self._token(
            start_family(self._session, user.id, ttl=self._settings.refresh_token_ttl)
        )

    async def refresh(self, refresh_token: str) -> Token:
        """Return the next tokens of a family; raises `RefreshTokenInvalid`, and 429."""
        await self._limits.check("refresh", self._client)
        try:
            return self._token(await rotate(self._session, refresh_token))
        except InvalidToken:
            raise RefreshTokenInvalid from None

    async def renew(self, refresh_token: str, attempt: str) -> Token:
        """Return the next tokens for a page, and the same ones when it repeats the attempt.

        A page does this each time it is opened, so only failures count for the limit. Raises as
        `refresh`.
        """
        try:
            return self._token(await rotate(self._session, refresh_token, attempt))
        except InvalidToken:
            await self._limits.check("refresh", self._client)
            raise RefreshTokenInvalid from None

    async def log_out(self, refresh_token: str) -> None:
        """Revoke all refresh tokens of the same sign-in. Access tokens work until they expire."""
        await revoke_family(self._session, refresh_token)

    def _token(self, issued: IssuedToken) -> Token:
        lifetime = issued.expires_at - datetime.now(UTC)
        return Token(
            access_token=create_access_token(
                issued.user_id,
                secret=self._settings.jwt_secret.get_secret_value(),
                ttl=self._settings.access_token_ttl,
            ),
            expires_in=self._settings.access_token_ttl,
            refresh_token=issued.token,
            refresh_expires_in=round(lifetime.total_seconds()),
        )


async def find_highest_cost(engine: AsyncEngine) -> int:
    """Return the highest cost of all password hashes. A hash of cost 12 begins with `$2b$12$`."""
    async with engine.connect() as connection:
        cost = await connection.scalar(select(func.max(HASH_COST)).select_from(User))
    return int(cost or 0)
