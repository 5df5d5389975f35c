"""The dependencies of handlers. A handler with a `CurrentUser` is for signed-in users only."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.auth.roles import Role
from app.auth.security import InvalidToken, read_access_token
from app.config import Settings

# Reads the Authorization header, answers 401 without one, and gives /docs its "Authorize" button.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")
optional_scheme = OAuth2PasswordBearer(tokenUrl="auth/token", auto_error=False)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the request's session, then commit it. An error rolls everything back."""
    async with AsyncSession(request.state.engine, expire_on_commit=False) as session:
        yield session
        await session.commit()


# scope="function" ends the session, and so commits, before the answer is sent. Otherwise the client
# gets its 201 before the commit, and never learns that the commit failed.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]


async def get_settings(request: Request) -> Settings:
    """Return the settings that were read when the server started."""
    settings: Settings = request.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_optional_user(
    token: Annotated[str | None, Depends(optional_scheme)],
    settings: SettingsDep,
    session: SessionDep,
) -> User | None:
    """Return the user of the request's token, or None without one; answers 401 to a bad one."""
    return None if token is None else await get_current_user(token, settings, session)


async def get_current_user(
    token: Annotated[str, Depends(oauth2_scheme)], settings: SettingsDep, session: SessionDep
) -> User:
    """Return the user of the request's token; answers 401 without a valid token."""
    unauthorized = HTTPException(
        401, "The access token is not valid: sign in again", {"WWW-Authenticate": "Bearer"}
    )
    try:
        user_id = read_access_token(token, secret=settings.jwt_secret.get_secret_value())
    except InvalidToken:
        raise unauthorized from None
    user = await session.get(User, user_id)
    if user is None:
        raise unauthorized
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
OptionalUser = Annotated[User | None, Depends(get_optional_user)]


def require_role(role: Role) -> Callable[[User], Awaitable[User]]:
    """Return a guard: it returns the signed-in user, and answers 403 to one with fewer rights.

    Each request reads the role from the database, so a change takes effect at once.
    """

    async def check_role(user: CurrentUser) -> User:
        if not Role(user.role).includes(role):
            raise HTTPException(403, f"Only a user with the role {role} may do this")
        return user

    return check_role
