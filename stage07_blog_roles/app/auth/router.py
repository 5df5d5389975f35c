"""Registering, signing in, and asking who one is."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response, status
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.auth.models import User
from app.auth.schemas import Token, UserCreate, UserRead, is_unicode
from app.auth.security import create_access_token
from app.dependencies import ClientDep, CurrentUser, PasswordHasherDep, SessionDep, SettingsDep

MAX_BODY_SIZE = 8 * 1024  # bytes: a name and a password, and anybody may send them

router = APIRouter(tags=["users"], max_body_size=MAX_BODY_SIZE)


@router.post("/auth/register", response_model=UserRead, status_code=status.HTTP_201_CREATED)
async def register(
    user_in: UserCreate,
    session: SessionDep,
    hasher: PasswordHasherDep,
    client: ClientDep,
    response: Response,
) -> User:
    """Register a user. A name that is taken, in upper or lower case, is answered with 409."""
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
    settings: SettingsDep,
    response: Response,
) -> Token:
    """Exchange a username and a password for an access token."""
    if not is_unicode(form.username + form.password):  # a multipart form may name any charset
        raise HTTPException(422, "Username and password should be valid Unicode")
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
        await session.execute(same.values(password_hash=verdict.new_hash))
    response.headers["Cache-Control"] = "no-store"
    return Token(
        access_token=create_access_token(
            user.id,
            secret=settings.jwt_secret.get_secret_value(),
            ttl=settings.access_token_ttl,
        ),
        expires_in=settings.access_token_ttl,
    )


@router.get("/users/me", response_model=UserRead)
async def read_me(user: CurrentUser) -> User:
    """Return the signed-in user."""
    return user
