"""Users and tokens, as FastAPI's "OAuth2 with Password (and hashing), Bearer with JWT tokens".

uvicorn stage3:app --port 8000
"""

import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import uuid4

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    status,
)
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jose import JWTError, jwt
from jose.utils import base64url_decode, base64url_encode
from passlib.context import CryptContext
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import DateTime, ForeignKey, String, TypeDecorator, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.exceptions import HTTPException as StarletteHTTPException


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str = "sqlite+aiosqlite:///stage3.db"
    # For development. To get a string like this run: openssl rand -hex 32
    jwt_secret: str = "f20958aac113d0aacb1def5957a90352deb1a149e05f62ea52b28b61f63070af"
    access_token_ttl: int = 1800
    bcrypt_rounds: int = 12


settings = Settings()
engine = create_async_engine(settings.database_url, connect_args={"timeout": 30})
new_session = async_sessionmaker(engine, expire_on_commit=False)


# --- tables ---


class TZDateTime(TypeDecorator):
    """SQLite keeps no offset ("Store Timezone Aware Timestamps as Timezone Naive UTC")."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value, _dialect):
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value, _dialect):
        return value and value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50, collation="NOCASE"), unique=True)
    hashed_password: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(TZDateTime)


class Todo(Base):
    __tablename__ = "todos"
    __table_args__ = {"sqlite_autoincrement": True}  # a deleted id is never used again

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(String(2000))
    completed: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(TZDateTime)
    updated_at: Mapped[datetime] = mapped_column(TZDateTime)


# --- what is sent and answered ---

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, Field(max_length=2000)]


class TodoIn(BaseModel):
    title: Title
    description: Description | None = None
    completed: StrictBool = False


class TodoPatch(BaseModel):
    # Only what was sent is used (`exclude_unset`): these defaults are never seen, null is no title.
    title: Title = ""
    description: Description | None = None
    completed: StrictBool = False


class TodoOut(TodoIn):
    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    updated_at: datetime


class UserIn(BaseModel):
    username: Annotated[str, Field(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9_.-]+$")]
    password: Annotated[str, Field(min_length=8)]

    @field_validator("password")
    @classmethod
    def what_bcrypt_can_hash(cls, password: str) -> str:
        if len(password.encode()) > 72:
            raise ValueError("a password has at most 72 bytes")
        if "\0" in password:
            raise ValueError("a password has no NUL character")
        return password


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str
    created_at: datetime


class Token(BaseModel):
    access_token: str
    token_type: str
    expires_in: int


# --- the app ---


@asynccontextmanager
async def lifespan(_app: FastAPI):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def get_session():
    async with new_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]

app = FastAPI(title="Todos of signed-in users", lifespan=lifespan)


@app.exception_handler(RequestValidationError)
async def validation_exception_handler(_request: Request, exc: RequestValidationError):
    """FastAPI's own answer has `input` as well, and that may be a password."""
    detail = [
        {"loc": error["loc"], "msg": error["msg"], "type": error["type"]} for error in exc.errors()
    ]
    return JSONResponse(status_code=422, content={"detail": detail})


# --- passwords and tokens ---

pwd_context = CryptContext(
    schemes=["bcrypt"], deprecated="auto", bcrypt__rounds=settings.bcrypt_rounds
)
DUMMY_HASH = pwd_context.hash("dummypassword")  # an unknown user takes as long as a known one
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="auth/token")


def verify_password(plain_password: str, hashed_password: str) -> bool:
    try:
        return pwd_context.verify(plain_password, hashed_password)
    except ValueError:  # more than 72 bytes, or NUL
        return False


async def authenticate_user(session: AsyncSession, username: str, password: str) -> User | None:
    user = await session.scalar(select(User).where(User.username == username))
    hashed_password = user.hashed_password if user else DUMMY_HASH
    verified = await run_in_threadpool(verify_password, password, hashed_password)
    return user if verified else None


def create_access_token(user: User) -> str:
    now = datetime.now(UTC)
    expire = now + timedelta(seconds=settings.access_token_ttl)
    claims = {"sub": str(user.id), "iat": now, "exp": expire, "jti": uuid4().hex}
    return jwt.encode(claims, settings.jwt_secret, algorithm="HS256")


def read_access_token(token: str) -> int:
    """The id of the user, or JWTError."""
    required = {f"require_{claim}": True for claim in ("sub", "iat", "exp", "jti")}
    payload = jwt.decode(token, settings.jwt_secret, algorithms=["HS256"], options=required)
    # base64 has several spellings of the same bytes, and Python's decoder ignores what is none.
    signature = token.rpartition(".")[2].encode()
    if base64url_encode(base64url_decode(signature)) != signature:
        raise JWTError("Not the signature that was issued")
    if not re.fullmatch("[1-9][0-9]{0,17}", payload["sub"]):
        raise JWTError("Not a subject that was issued")
    return int(payload["sub"])


async def get_current_user(
    token: Annotated[str, Depends(oauth2_scheme)], session: SessionDep
) -> User:
    credentials_exception = HTTPException(
        status_code=status.HTTP_401_UNAUTHORIZED,
        detail="Could not validate credentials",
        headers={"WWW-Authenticate": "Bearer"},
    )
    try:
        user_id = read_access_token(token)
    except (JWTError, TypeError, OverflowError, RecursionError):  # jose lets some of them out
        raise credentials_exception from None
    user = await session.get(User, user_id)
    if user is None:
        raise credentials_exception
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.post("/auth/register", response_model=UserOut, status_code=status.HTTP_201_CREATED)
async def register(user_in: UserIn, session: SessionDep, response: Response):
    hashed_password = await run_in_threadpool(pwd_context.hash, user_in.password)
    user = User(
        username=user_in.username,
        hashed_password=hashed_password,
        created_at=datetime.now(UTC),
    )
    session.add(user)
    try:
        await session.commit()
    except IntegrityError:
        await session.rollback()
        raise HTTPException(status_code=409, detail="This username is taken") from None
    response.headers["Location"] = "/users/me"
    return user


@app.post("/auth/token")
async def login_for_access_token(
    form_data: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> Token:
    user = await authenticate_user(session, form_data.username, form_data.password)
    if user is None:
        raise HTTPException(
            status_code=status.HTTP_401_UNAUTHORIZED,
            detail="Incorrect username or password",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Token(
        access_token=create_access_token(user),
        token_type="bearer",
        expires_in=settings.access_token_ttl,
    )


@app.get("/users/me", response_model=UserOut)
async def read_users_me(user: CurrentUser):
    return user


# --- todos ---


class TokenFirstRoute(APIRoute):
    """FastAPI parses a body before any dependency runs. One that is no JSON must not be judged
    before the token either, so here it is asked for ("Custom Request and APIRoute class")."""

    def get_route_handler(self):
        route_handler = super().get_route_handler()

        async def token_first(request: Request) -> Response:
            try:
                return await route_handler(request)
            except (RequestValidationError, StarletteHTTPException):
                async with new_session() as session:
                    await get_current_user(await oauth2_scheme(request), session)
                raise

        return token_first


router = APIRouter(prefix="/todos", tags=["todos"], route_class=TokenFirstRoute)
TodoId = Annotated[int, Path(ge=-(2**63), le=2**63 - 1)]  # what SQLite can compare with


def found(todo: Todo | None) -> Todo:
    if todo is None:
        raise HTTPException(status_code=404, detail="Todo not found")
    return todo


@router.get("", response_model=list[TodoOut])
async def read_todos(
    user: CurrentUser,
    session: SessionDep,
    completed: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
):
    query = select(Todo).where(Todo.owner_id == user.id).order_by(Todo.id)
    if completed is not None:
        query = query.where(Todo.completed == completed)
    return (await session.scalars(query.limit(limit).offset(offset))).all()


@router.post("", response_model=TodoOut, status_code=status.HTTP_201_CREATED)
async def create_todo(todo_in: TodoIn, user: CurrentUser, session: SessionDep, response: Response):
    now = datetime.now(UTC)
    todo = Todo(owner_id=user.id, created_at=now, updated_at=now, **todo_in.model_dump())
    session.add(todo)
    await session.commit()
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo


@router.get("/{todo_id}", response_model=TodoOut)
async def read_todo(todo_id: TodoId, user: CurrentUser, session: SessionDep):
    query = select(Todo).where(Todo.id == todo_id, Todo.owner_id == user.id)
    return found(await session.scalar(query))


async def change(session: AsyncSession, user: User, todo_id: int, changes: dict) -> Todo:
    # One statement, so that nobody can delete the row between a SELECT and the UPDATE.
    statement = update(Todo).where(Todo.id == todo_id, Todo.owner_id == user.id).returning(Todo)
    todo = await session.scalar(statement.values(updated_at=datetime.now(UTC), **changes))
    await session.commit()
    return found(todo)


@router.put("/{todo_id}", response_model=TodoOut)
async def replace_todo(todo_id: TodoId, todo_in: TodoIn, user: CurrentUser, session: SessionDep):
    return await change(session, user, todo_id, todo_in.model_dump())


@router.patch("/{todo_id}", response_model=TodoOut)
async def update_todo(todo_id: TodoId, todo_in: TodoPatch, user: CurrentUser, session: SessionDep):
    return await change(session, user, todo_id, todo_in.model_dump(exclude_unset=True))


@router.delete("/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: TodoId, user: CurrentUser, session: SessionDep):
    statement = delete(Todo).where(Todo.id == todo_id, Todo.owner_id == user.id).returning(Todo.id)
    deleted = await session.scalar(statement)
    await session.commit()
    if deleted is None:
        raise HTTPException(status_code=404, detail="Todo not found")


app.include_router(router)
