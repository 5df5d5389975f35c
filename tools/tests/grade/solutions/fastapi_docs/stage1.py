"""Todos in memory, as FastAPI's tutorial teaches it ("Body - Updates", "Response Model").

uvicorn stage1:app --port 8000
"""

from datetime import UTC, datetime
from itertools import count
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Response, status
from pydantic import BaseModel, Field, StrictBool, StringConstraints

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


class Todo(TodoIn):
    id: int
    created_at: datetime
    updated_at: datetime


app = FastAPI(title="Todos in memory")

todos: dict[int, Todo] = {}
ids = count(1)


def find(todo_id: int) -> Todo:
    if todo_id not in todos:
        raise HTTPException(status_code=404, detail="Todo not found")
    return todos[todo_id]


@app.get("/todos", response_model=list[Todo])
async def read_todos(
    completed: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
):
    found = [todo for todo in todos.values() if completed is None or todo.completed == completed]
    return found[offset : offset + limit]


@app.post("/todos", response_model=Todo, status_code=status.HTTP_201_CREATED)
async def create_todo(todo_in: TodoIn, response: Response):
    now = datetime.now(UTC)
    todo = Todo(id=next(ids), created_at=now, updated_at=now, **todo_in.model_dump())
    todos[todo.id] = todo
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo


@app.get("/todos/{todo_id}", response_model=Todo)
async def read_todo(todo_id: int):
    return find(todo_id)


@app.put("/todos/{todo_id}", response_model=Todo)
async def replace_todo(todo_id: int, todo_in: TodoIn):
    changes = todo_in.model_dump() | {"updated_at": datetime.now(UTC)}
    todos[todo_id] = find(todo_id).model_copy(update=changes)
    return todos[todo_id]


@app.patch("/todos/{todo_id}", response_model=Todo)
async def update_todo(todo_id: int, todo_in: TodoPatch):
    changes = todo_in.model_dump(exclude_unset=True) | {"updated_at": datetime.now(UTC)}
    todos[todo_id] = find(todo_id).model_copy(update=changes)
    return todos[todo_id]


@app.delete("/todos/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: int):
    find(todo_id)
    del todos[todo_id]
