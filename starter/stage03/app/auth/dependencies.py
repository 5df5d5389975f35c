"""The guard: a route that asks for a `CurrentUser` is open to signed-in users only."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer

from app.auth.models import User
from app.auth.security import PasswordHasher
from app.config import Settings
from app.database import SessionDep

# Reads the Authorization header, answers 401 without one, and gives /docs its "Authorize" button.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")


async def get_settings(request: Request) -> Settings:
    """Return the settings that were read when the server started."""
    settings: Settings = request.state.settings
    return settings


async def get_password_hasher(request: Request) -> PasswordHasher:
    """Return the hasher, which all requests share."""
    hasher: PasswordHasher = request.state.password_hasher
    return hasher


async def get_client(request: Request) -> str:
    """Return the address that the request came from."""
    return request.client.host if request.client else ""


SettingsDep = Annotated[Settings, Depends(get_settings)]
PasswordHasherDep = Annotated[PasswordHasher, Depends(get_password_hasher)]
ClientDep = Annotated[str, Depends(get_client)]


async def get_current_user(
    token: Annotated[str, Depends(oauth2_scheme)], settings: SettingsDep, session: SessionDep
) -> User:
    """Return the user whose token came with the request; answers 401 when there is none."""
    # TODO 3.4: Protected routes open only to signed-in users
    raise NotImplementedError("TODO 3.4: Protected routes open only to signed-in users")


CurrentUser = Annotated[User, Depends(get_current_user)]
