"""Registering, signing in, staying signed in, and asking who one is."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.auth.models import User, namespace
from app.auth.rate_limits import AuthLimitsDep
from app.auth.refresh import IssuedToken, revoke_family, rotate, start_family
from app.auth.schemas import RefreshTokenIn, Token, UserCreate, UserRead, is_unicode
from app.auth.security import InvalidToken, create_access_token
from app.cache.http import answer_body, as_body
from app.config import Settings
from app.dependencies import CachedUser, ClientDep, PasswordHasherDep, SessionDep, SettingsDep
from app.idempotency.service import refuse_key

MAX_BODY_SIZE = 8 * 1024  # bytes: a name and a password, and anybody may send them

router = APIRouter(tags=["users"], max_body_size=MAX_BODY_SIZE)


@router.post(
    "/auth/register",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    dependencies=[Depends(refuse_key)],
)
async def register(
    user_in: UserCreate,
    session: SessionDep,
    hasher: PasswordHasherDep,
    client: ClientDep,
    limits: AuthLimitsDep,
    request: Request,
    response: Response,
) -> User:
    """Register a user. A name that is taken, in upper or lower case, is answered with 409."""
    await limits.check("register", request, user_in.username)
    user = User(
        username=user_in.username,
        username_folded=user_in.username.lower(),
        password_hash=await hasher.hash(user_in.password.get_secret_value(), client=client),
        created_at=datetime.now(UTC),
    )
    session.add(user)
    try:
        # The database decides. Had we asked first, another request could take the name meanwhile.
        await session.flush()
    except IntegrityError:
        raise HTTPException(409, "This username is taken") from None
    response.headers["Location"] = "/users/me"
    return user


@router.post("/auth/token", response_model=Token)
async def sign_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    session: SessionDep,
    hasher: PasswordHasherDep,
    client: ClientDep,
    limits: AuthLimitsDep,
    settings: SettingsDep,
    request: Request,
    response: Response,
) -> Token:
    """Exchange a username and a password for an access token and a refresh token."""
    if not is_unicode(form.username + form.password):  # a multipart form may name any charset
        raise HTTPException(422, "Username and password should be valid Unicode")
    await limits.check("sign_in", request, form.username)
    user = None
    if "\0" not in form.username:  # PostgreSQL has no such text, so no such user either
        statement = select(User).where(User.username_folded == form.username.lower())
        user = await session.scalar(statement)
    # Checking takes a while: others can have the database connection meanwhile.
    await session.commit()
    stored = user.password_hash if user else None
    verdict = await hasher.verify(form.password, stored, client=client)
    if not user or not verdict.matches:
        # One answer for a wrong name and a wrong password: do not tell who is registered.
        raise HTTPException(401, "Wrong username or password", {"WWW-Authenticate": "Bearer"})
    if verdict.new_hash:  # BCRYPT_ROUNDS was changed, and now we know the password
        same = update(User).where(User.id == user.id, User.password_hash == stored)
        same = same.execution_options(cached_in=namespace(user.id))
        await session.execute(same.values(password_hash=verdict.new_hash))
    issued = start_family(session, user.id, ttl=settings.refresh_token_ttl)
    return answer_with_tokens(issued, settings, response)


@router.post("/auth/refresh", response_model=Token)
async def refresh(
    token_in: RefreshTokenIn,
    session: SessionDep,
    limits: AuthLimitsDep,
    settings: SettingsDep,
    request: Request,
    response: Response,
) -> Token:
    """Exchange a refresh token, once, for a new access token and the next refresh token.

    Using one twice ends all that came from the same sign-in.
    """
    await limits.check("refresh", request)
    try:
        issued = await rotate(session, token_in.refresh_token)
    except InvalidToken:
        detail = "The refresh token is not valid: sign in again"
        raise HTTPException(401, detail, {"WWW-Authenticate": "Bearer"}) from None
    return answer_with_tokens(issued, settings, response)


@router.post("/auth/logout", status_code=status.HTTP_204_NO_CONTENT)
async def log_out(token_in: RefreshTokenIn, session: SessionDep) -> None:
    """End all that came from the same sign-in. An access token lives on until it expires."""
    await revoke_family(session, token_in.refresh_token)


def answer_with_tokens(issued: IssuedToken, settings: Settings, response: Response) -> Token:
    """Return the tokens, in an answer that nobody may keep."""
    response.headers["Cache-Control"] = "no-store"
    lifetime = issued.expires_at - datetime.now(UTC)
    return Token(
        access_token=create_access_token(
            issued.user_id,
            secret=settings.jwt_secret.get_secret_value(),
            ttl=settings.access_token_ttl,
        ),
        expires_in=settings.access_token_ttl,
        refresh_token=issued.token,
        refresh_expires_in=round(lifetime.total_seconds()),
    )


@router.get("/users/me", response_model=UserRead)
async def read_me(user: CachedUser, request: Request) -> Response:
    """Return the signed-in user."""
    json = UserRead.model_validate(user, from_attributes=True).model_dump_json().encode()
    return answer_body(request, as_body(json), "private, no-cache")
