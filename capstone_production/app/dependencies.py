"""The dependencies of handlers. A handler with a `CurrentUser` is for signed-in users only."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User, namespace
from app.auth.roles import Role
from app.auth.schemas import UserRead
from app.auth.security import InvalidToken
from app.auth.tokens import VerifiedTokens
from app.cache.cache import Cache
from app.cache.invalidation import publish_invalidations
from app.config import Settings
from app.exceptions import unauthorized

# Reads the Authorization header, answers 401 without one, and gives /docs its "Authorize" button.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")
optional_scheme = OAuth2PasswordBearer(tokenUrl="auth/token", auto_error=False)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the session of a request, with one transaction for all of its statements."""
    async with AsyncSession(request.state.engine, expire_on_commit=False) as session:
        try:
            yield session
            await session.commit()
        finally:
            # Before the answer, because the client may read at once, here or from another process.
            await publish_invalidations(session, request.state.cache)


# scope="function" ends the session, and so commits, before the answer is sent. Otherwise the client
# gets its 201 before the commit, and never learns that the commit failed.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_settings(request: Request) -> Settings:
    """Return the settings that were read when the server started."""
    settings: Settings = request.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


def verify(token: str, request: Request) -> int:
    """Return the id of the token's user; raises a 401 for an invalid token."""
    tokens: VerifiedTokens = request.state.verified_tokens
    try:
        user_id = tokens.read(token).user_id
    except InvalidToken:
        raise unauthorized() from None
    request.state.user_id = user_id  # for the log
    return user_id


async def get_current_user(
    token: Annotated[str, Depends(oauth2_scheme)], request: Request, session: SessionDep
) -> User:
    """Return the user of the request's token, read from the database."""
    user = await session.get(User, verify(token, request))
    if user is None:
        raise unauthorized()
    return user


async def get_cached_user(token: str, request: Request) -> UserRead:
    """Return the user of the request's token from the cache; it is not a row of the database.

    This is enough for the user's own rows. Where the role decides, use `CurrentUser`.
    """
    user_id = verify(token, request)

    async def load() -> bytes:
        async with AsyncSession(request.state.engine) as session:
            user = await session.get(User, user_id)
        if user is None:
            raise unauthorized()
        return UserRead.model_validate(user, from_attributes=True).model_dump_json().encode()

    cache: Cache = request.state.cache
    ttl = request.state.settings.cache_l1_ttl
    cached = await cache.get(
        namespace(user_id), "me", load, UserRead.model_validate_json, ttl=max(1, round(ttl))
    )
    return cached.value


class CachedUserScheme(SecurityBase):
    """Reads the header, as its scheme does, and finds the user, in a single dependency.

    Each additional dependency costs FastAPI more time than the whole read from the cache.
    """

    def __init__(self, scheme: OAuth2PasswordBearer) -> None:
        self.model, self.scheme_name = scheme.model, scheme.scheme_name
        self._read_token = scheme

    async def __call__(self, request: Request) -> UserRead | None:
        """Return the user, or None without a token, if the scheme allows that."""
        token = await self._read_token(request)
        return None if token is None else await get_cached_user(token, request)


CurrentUser = Annotated[User, Depends(get_current_user)]
CachedUser = Annotated[UserRead, Depends(CachedUserScheme(oauth2_scheme))]
OptionalCachedUser = Annotated[UserRead | None, Depends(CachedUserScheme(optional_scheme))]


def require_role(role: Role) -> Callable[[User], Awaitable[User]]:
    """Return a guard: it returns the signed-in user, and answers 403 to one with fewer rights.

    Each request reads the role from the database, so a change takes effect at once.
    """

    async def check_role(user: CurrentUser) -> User:
        if not Role(user.role).includes(role):
            raise HTTPException(403, f"Only a user with the role {role} may do this")
        return user

    return check_role
