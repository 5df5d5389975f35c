"""Registering users and signing them in."""

from datetime import UTC, datetime

from fastapi import HTTPException
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import HASH_COST, User
from app.auth.schemas import Token, UserCreate, is_unicode
from app.auth.security import PasswordHasher, create_access_token
from app.config import Settings


class UsernameTaken(HTTPException):
    """Another user has this name, in upper or lower case: answered with 409."""

    def __init__(self) -> None:
        super().__init__(409, "This username is taken")


class WrongCredentials(HTTPException):
    """The name or the password is wrong: answered with a 401 that does not say which one."""

    def __init__(self) -> None:
        super().__init__(401, "Wrong username or password", {"WWW-Authenticate": "Bearer"})


class AuthService:
    """Registers users and signs them in, for the client at one address."""

    def __init__(
        self, session: AsyncSession, settings: Settings, hasher: PasswordHasher, client: str
    ) -> None:
        self._session = session
        self._settings = settings
        self._hasher = hasher
        self._client = client

    async def register(self, user_in: UserCreate) -> User:
        """Store a user and return it; raises `UsernameTaken`."""
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
        """Return an access token; raises `WrongCredentials`, and 422 for invalid Unicode."""
        if not is_unicode(username + password):  # a multipart form may name any charset
            raise HTTPException(422, "Username and password should be valid Unicode")
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
            await self._session.execute(same.values(password_hash=verdict.new_hash))
        return Token(
            access_token=create_access_token(
                user.id,
                secret=self._settings.jwt_secret.get_secret_value(),
                ttl=self._settings.access_token_ttl,
            ),
            expires_in=self._settings.access_token_ttl,
        )


async def find_highest_cost(engine: AsyncEngine) -> int:
    """Return the highest cost of all password hashes, which begin as `$2b$12$` does."""
    async with engine.connect() as connection:
        cost = await connection.scalar(select(func.max(HASH_COST)).select_from(User))
    return int(cost or 0)
