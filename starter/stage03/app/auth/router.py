"""Registering, signing in, and asking who one is."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status
from fastapi.security import OAuth2PasswordRequestForm

from app.auth.dependencies import ClientDep, CurrentUser, PasswordHasherDep, SettingsDep
from app.auth.models import User
from app.auth.schemas import Token, UserCreate, UserRead
from app.database import SessionDep

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
    # TODO 3.1: Registration
    raise NotImplementedError("TODO 3.1: Registration")


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
    # TODO 3.2: Sign-in with user name and password
    raise NotImplementedError("TODO 3.2: Sign-in with user name and password")


@router.get("/users/me", response_model=UserRead)
async def read_me(user: CurrentUser) -> User:
    """Return the signed-in user."""
    # TODO 3.7: Guards are dependencies
    raise NotImplementedError("TODO 3.7: Guards are dependencies")
