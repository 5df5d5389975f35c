"""Todos in memory, with Flask.

waitress-serve --port 8000 stage1:app   (or: flask --app stage1 run --port 8000)
"""

import json
from datetime import UTC, datetime
from itertools import count
from threading import Lock
from typing import Annotated

from flask import Flask, abort, request
from pydantic import BaseModel, Field, StrictBool, StringConstraints, ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter

app = Flask(__name__)


class IdConverter(IntegerConverter):
    regex = "[0-9]{1,18}"  # whatever else stands in the path is not found


app.url_map.converters["id"] = IdConverter

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
    offset: int = Field(0, ge=0)


def read_body(model):
    return model.model_validate_json(request.get_data())


# --- errors ---


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


# --- todos ---

todos = {}
ids = count(1)
lock = Lock()  # the server has several threads


def now():
    return datetime.now(UTC).isoformat()


def change(todo_id, changes):
    with lock:
        if todo_id not in todos:
            abort(404, "Todo not found")
        todos[todo_id] = todos[todo_id] | changes | {"updated_at": now()}
        return todos[todo_id]


@app.get("/todos")
def list_todos():
    query = ListQuery.model_validate(request.args.to_dict())
    with lock:
        found = list(todos.values())
    if query.completed is not None:
        found = [todo for todo in found if todo["completed"] == query.completed]
    return found[query.offset : query.offset + query.limit]


@app.post("/todos")
def create_todo():
    sent = read_body(TodoIn).model_dump()
    with lock:
        created = now()
        todo = {"id": next(ids), **sent, "created_at": created, "updated_at": created}
        todos[todo["id"]] = todo
    return todo, 201, {"Location": f"/todos/{todo['id']}"}


@app.get("/todos/<id:todo_id>")
def read_todo(todo_id):
    return todos.get(todo_id) or abort(404, "Todo not found")


@app.put("/todos/<id:todo_id>")
def replace_todo(todo_id):
    return change(todo_id, read_body(TodoIn).model_dump())


@app.patch("/todos/<id:todo_id>")
def update_todo(todo_id):
    return change(todo_id, read_body(TodoPatch).model_dump(exclude_unset=True))


@app.delete("/todos/<id:todo_id>")
def delete_todo(todo_id):
    if todos.pop(todo_id, None) is None:
        abort(404, "Todo not found")
    return "", 204
