"""Todos in SQLite through SQLAlchemy's ORM, with Flask.

waitress-serve --port 8000 stage2:app   (or: flask --app stage2 run --port 8000)
"""

import json
import os
from datetime import UTC, datetime
from typing import Annotated

from dotenv import load_dotenv
from flask import Flask, abort, request
from pydantic import BaseModel, Field, StrictBool, StringConstraints, ValidationError
from sqlalchemy import create_engine, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter

load_dotenv(".env")
engine = create_engine(
    os.environ.get("DATABASE_URL", "sqlite:///stage2.db"), connect_args={"timeout": 30}
)
Session = sessionmaker(engine)


# --- tables ---


class Base(DeclarativeBase):
    pass


def iso(time):
    return time.replace(tzinfo=UTC).isoformat()  # SQLite keeps no offset, what we keep is UTC


class Todo(Base):
    __tablename__ = "todos"
    __table_args__ = {"sqlite_autoincrement": True}  # no id is given out twice

    id: Mapped[int] = mapped_column(primary_key=True)
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
    return response


@app.errorhandler(StaleDataError)
def deleted_meanwhile(_error):
    return {"detail": "Todo not found"}, 404


# --- todos ---


def change(todo_id, changes):
    with Session.begin() as session:
        todo = session.get(Todo, todo_id) or abort(404, "Todo not found")
        for name, value in changes.items():
            setattr(todo, name, value)
        todo.updated_at = datetime.now(UTC)
        session.flush()
        return todo.to_dict()


@app.get("/todos")
def list_todos():
    query = ListQuery.model_validate(request.args.to_dict())
    statement = select(Todo).order_by(Todo.id).limit(query.limit).offset(query.offset)
    if query.completed is not None:
        statement = statement.where(Todo.completed == query.completed)
    with Session() as session:
        return [todo.to_dict() for todo in session.scalars(statement)]


@app.post("/todos")
def create_todo():
    now = datetime.now(UTC)
    todo = Todo(**read_body(TodoIn).model_dump(), created_at=now, updated_at=now)
    with Session.begin() as session:
        session.add(todo)
        session.flush()
        created = todo.to_dict()
    return created, 201, {"Location": f"/todos/{created['id']}"}


@app.get("/todos/<id:todo_id>")
def read_todo(todo_id):
    with Session() as session:
        todo = session.get(Todo, todo_id) or abort(404, "Todo not found")
        return todo.to_dict()


@app.put("/todos/<id:todo_id>")
def replace_todo(todo_id):
    return change(todo_id, read_body(TodoIn).model_dump())


@app.patch("/todos/<id:todo_id>")
def update_todo(todo_id):
    return change(todo_id, read_body(TodoPatch).model_dump(exclude_unset=True))


@app.delete("/todos/<id:todo_id>")
def delete_todo(todo_id):
    with Session.begin() as session:
        if session.execute(delete(Todo).where(Todo.id == todo_id)).rowcount == 0:
            abort(404, "Todo not found")
    return "", 204
