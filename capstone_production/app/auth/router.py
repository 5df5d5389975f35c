"""Registration, sign-in, refresh tokens, and reading your own account."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm

from app.auth.models import User
from app.auth.schemas import RefreshTokenIn, Token, UserCreate, UserRead
from app.auth.service import AuthService
from app.cache.http import answer_body, as_body
from app.dependencies import CachedUser, SessionDep, SettingsDep
from app.exceptions import errors
from app.idempotency import refuse_key
from app.rate_limits import client_network

MAX_BODY_SIZE = 8 * 1024  # bytes: enough for a name and a password

router = APIRouter(tags=["users"], max_body_size=MAX_BODY_SIZE)


async def get_auth_service(
    request: Request, session: SessionDep, settings: SettingsDep
) -> AuthService:
    """Return a service for the client's address; for IPv6 its /64 network."""
    state = request.state
    client = client_network(request)
    return AuthService(session, settings, state.password_hasher, state.auth_limits, client)


AuthServiceDep = Annotated[AuthService, Depends(get_auth_service)]


@router.post(
    "/auth/register",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[Depends(refuse_key)],
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
    """Exchange a username and a password for an access token and a refresh token."""
    token = await service.sign_in(form.username, form.password)
    response.headers["Cache-Control"] = "no-store"
    return token


@router.post("/auth/refresh", response_model=Token, responses=errors(401, 413, 429))
async def refresh(token_in: RefreshTokenIn, service: AuthServiceDep, response: Response) -> Token:
    """Exchange a refresh token, once, for a new access token and the next refresh token.

    A second use revokes all refresh tokens of the same sign-in.
    """
    token = await service.refresh(token_in.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return token


@router.post("/auth/logout", status_code=status.HTTP_204_NO_CONTENT, responses=errors(413))
async def log_out(token_in: RefreshTokenIn, service: AuthServiceDep) -> None:
    """Revoke all refresh tokens of the same sign-in. Access tokens stay valid until they expire."""
    await service.log_out(token_in.refresh_token)


@router.get("/users/me", response_model=UserRead, responses=errors(401))
async def read_me(user: CachedUser, request: Request) -> Response:
    """Return the signed-in user."""
    return answer_body(request, as_body(user.model_dump_json().encode()), "private, no-cache")
