"""Users and their todos: Flask, SQLAlchemy, bcrypt and PyJWT.

waitress-serve --port 8000 stage3:app   (or: flask --app stage3 run --port 8000)
"""

import json
import os
import re
import secrets
import time
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated
from uuid import uuid4

import bcrypt
import jwt
from dotenv import load_dotenv
from flask import Flask, abort, g, request
from jwt.utils import base64url_decode, base64url_encode
from pydantic import (
    BaseModel,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
)
from sqlalchemy import ForeignKey, create_engine, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter

load_dotenv(".env")
# Without a secret of its own the app makes one up, and everyone signs in again after a restart.
JWT_SECRET = os.environ.get("JWT_SECRET") or secrets.token_hex(32)
ACCESS_TOKEN_TTL = int(os.environ.get("ACCESS_TOKEN_TTL", "1800"))
BCRYPT_ROUNDS = int(os.environ.get("BCRYPT_ROUNDS", "12"))

engine = create_engine(
    os.environ.get("DATABASE_URL", "sqlite:///stage3.db"), connect_args={"timeout": 30}
)
Session = sessionmaker(engine)


# --- tables ---


class Base(DeclarativeBase):
    pass


def iso(time):
    return time.replace(tzinfo=UTC).isoformat()  # SQLite keeps no offset, what we keep is UTC


class User(Base):
    __tablename__ = "users"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    username_lower: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[bytes]
    created_at: Mapped[datetime]

    def to_dict(self):
        return {"id": self.id, "username": self.username, "created_at": iso(self.created_at)}


class Todo(Base):
    __tablename__ = "todos"
    __table_args__ = {"sqlite_autoincrement": True}  # no id is given out twice

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str]
    description: Mapped[str | None]
    completed: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def to_dict(self):
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "completed": self.completed,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }


Base.metadata.create_all(engine)


# --- what is sent ---

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, Field(max_length=2000)]


class TodoIn(BaseModel):
    title: Title
    description: Description | None = None
    completed: StrictBool = False


class TodoPatch(BaseModel):
    title: Title = ""  # null is no title; the defaults are not used, see `exclude_unset`
    description: Description | None = None
    completed: StrictBool = False


class ListQuery(BaseModel):
    completed: bool | None = None
    limit: int = Field(100, ge=1, le=100)
    offset: int = Field(0, ge=0, le=2**63 - 1)


class Registration(BaseModel):
    username: str = Field(min_length=3, max_length=50, pattern="^[A-Za-z0-9_.-]+$")
    password: str = Field(min_length=8)

    @field_validator("password")
    @classmethod
    def at_most_72_bytes(cls, password):
        if len(password.encode()) > 72:
            raise ValueError("a password has at most 72 bytes")
        return password


class SignIn(BaseModel):
    username: str
    password: str


def read_body(model):
    return model.model_validate_json(request.get_data())


# --- the app and its errors ---

app = Flask(__name__)


class IdConverter(IntegerConverter):
    regex = "[0-9]{1,18}"  # whatever else stands in the path is not found


app.url_map.converters["id"] = IdConverter


@app.errorhandler(ValidationError)
def invalid(error):
    where = "body" if request.method in ("POST", "PUT", "PATCH") else "query"
    return {
        "detail": [
            {"loc": [where, *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()
        ]
    }, 422


@app.errorhandler(HTTPException)
def http_error(error):
    response = error.get_response()
    response.data = json.dumps({"detail": error.description})
    response.content_type = "application/json"
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


@app.errorhandler(StaleDataError)
def deleted_meanwhile(_error):
    return {"detail": "Todo not found"}, 404


# --- users and tokens ---


def issue_token(user_id):
    now = int(time.time())
    claims = {"sub": str(user_id), "iat": now, "exp": now + ACCESS_TOKEN_TTL, "jti": uuid4().hex}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256")


def user_id_of(token):
    claims = jwt.decode(
        token,
        JWT_SECRET,
        algorithms=["HS256"],
        options={"require": ["sub", "iat", "exp", "jti"]},
    )
    # The same bytes can be spelled in several ways in base64; only ours will do.
    signature = token.rpartition(".")[2].encode()
    if base64url_encode(base64url_decode(signature)) != signature:
        raise jwt.InvalidTokenError("not the signature that was issued")
    if not re.fullmatch("[1-9][0-9]{0,17}", claims["sub"]):
        raise jwt.InvalidTokenError("not a subject that was issued")
    return int(claims["sub"])


def login_required(view):
    @wraps(view)
    def wrapped(*args, **kwargs):
        given = request.authorization
        if given is None or given.type != "bearer" or not given.token:
            abort(401, "Not authenticated")
        try:
            g.user_id = user_id_of(given.token)
        except jwt.InvalidTokenError:
            abort(401, "Invalid token")
        with Session() as session:
            user = session.get(User, g.user_id) or abort(401, "Invalid token")
            g.user = user.to_dict()
        return view(*args, **kwargs)

    return wrapped


@app.post("/auth/register")
def register():
    sent = read_body(Registration)
    user = User(
        username=sent.username,
        username_lower=sent.username.lower(),
        password_hash=bcrypt.hashpw(sent.password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)),
        created_at=datetime.now(UTC),
    )
    try:
        with Session.begin() as session:
            session.add(user)
            session.flush()
            created = user.to_dict()
    except IntegrityError:
        abort(409, "This username is taken")
    return created, 201, {"Location": "/users/me"}


@app.post("/auth/token")
def sign_in():
    sent = SignIn.model_validate(request.form.to_dict())
    password = sent.password.encode()
    with Session() as session:
        user = session.scalar(select(User).where(User.username == sent.username))
    if not user or len(password) > 72 or not bcrypt.checkpw(password, user.password_hash):
        abort(401, "Incorrect username or password")
    return {
        "access_token": issue_token(user.id),
        "token_type": "bearer",
        "expires_in": ACCESS_TOKEN_TTL,
    }


@app.get("/users/me")
@login_required
def read_me():
    return g.user


# --- todos ---


def find(session, todo_id):
    mine = select(Todo).where(Todo.id == todo_id, Todo.owner_id == g.user_id)
    return session.scalar(mine) or abort(404, "Todo not found")


def change(todo_id, changes):
    with Session.begin() as session:
        todo = find(session, todo_id)
        for name, value in changes.items():
            setattr(todo, name, value)
        todo.updated_at = datetime.now(UTC)
        session.flush()
        return todo.to_dict()


@app.get("/todos")
@login_required
def list_todos():
    query = ListQuery.model_validate(request.args.to_dict())
    statement = select(Todo).where(Todo.owner_id == g.user_id).order_by(Todo.id)
    if query.completed is not None:
        statement = statement.where(Todo.completed == query.completed)
    with Session() as session:
        page = session.scalars(statement.limit(query.limit).offset(query.offset))
        return [todo.to_dict() for todo in page]


@app.post("/todos")
@login_required
def create_todo():
    now = datetime.now(UTC)
    sent = read_body(TodoIn).model_dump()
    todo = Todo(**sent, owner_id=g.user_id, created_at=now, updated_at=now)
    with Session.begin() as session:
        session.add(todo)
        session.flush()
        created = todo.to_dict()
    return created, 201, {"Location": f"/todos/{created['id']}"}


@app.get("/todos/<id:todo_id>")
@login_required
def read_todo(todo_id):
    with Session() as session:
        return find(session, todo_id).to_dict()


@app.put("/todos/<id:todo_id>")
@login_required
def replace_todo(todo_id):
    return change(todo_id, read_body(TodoIn).model_dump())


@app.patch("/todos/<id:todo_id>")
@login_required
def update_todo(todo_id):
    return change(todo_id, read_body(TodoPatch).model_dump(exclude_unset=True))


@app.delete("/todos/<id:todo_id>")
@login_required
def delete_todo(todo_id):
    mine = delete(Todo).where(Todo.id == todo_id, Todo.owner_id == g.user_id)
    with Session.begin() as session:
        if session.execute(mine).rowcount == 0:
            abort(404, "Todo not found")
    return "", 204
