"""The dependencies of handlers. A handler with a `CurrentUser` is for signed-in users only."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.auth.security import InvalidToken, read_access_token
from app.config import Settings

# Reads the Authorization header, answers 401 without one, and gives /docs its "Authorize" button.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")


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
