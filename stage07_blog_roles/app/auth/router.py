"""Registering, signing in, and reading your own account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm

from app.auth.models import User
from app.auth.schemas import Token, UserCreate, UserRead
from app.auth.service import AuthService
from app.dependencies import CurrentUser, SessionDep, SettingsDep
from app.exceptions import errors

MAX_BODY_SIZE = 8 * 1024  # bytes: enough for a name and a password

router = APIRouter(tags=["users"], max_body_size=MAX_BODY_SIZE)


async def get_auth_service(
    request: Request, session: SessionDep, settings: SettingsDep
) -> AuthService:
    """Return a service for the address that the request came from."""
    client = request.client.host if request.client else ""
    return AuthService(session, settings, request.state.password_hasher, client)


AuthServiceDep = Annotated[AuthService, Depends(get_auth_service)]


@router.post(
    "/auth/register",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    responses=errors(409, 413, 429),
)
async def register(user_in: UserCreate, service: AuthServiceDep, response: Response) -> User:
    """Register a user. A taken name, in upper or lower case, is answered with 409."""
    user = await service.register(user_in)
    response.headers["Location"] = "/users/me"
    return user


@router.post("/auth/token", response_model=Token, responses=errors(401, 413, 429))
async def sign_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    service: AuthServiceDep,
    response: Response,
) -> Token:
    """Exchange a username and a password for an access token."""
    token = await service.sign_in(form.username, form.password)
    response.headers["Cache-Control"] = "no-store"
    return token


@router.get("/users/me", response_model=UserRead, responses=errors(401))
async def read_me(user: CurrentUser) -> User:
    """Return the signed-in user."""
    return user
