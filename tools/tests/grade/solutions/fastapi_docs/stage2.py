"""Todos in SQLite, as the tutorials of FastAPI ("SQL Databases") and SQLAlchemy (ORM, asyncio) do.

uvicorn stage2:app --port 8000
"""

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import DateTime, String, TypeDecorator, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    database_url: str = "sqlite+aiosqlite:///stage2.db"


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


class Todo(Base):
    __tablename__ = "todos"
    __table_args__ = {"sqlite_autoincrement": True}  # a deleted id is never used again

    id: Mapped[int] = mapped_column(primary_key=True)
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
TodoId = Annotated[int, Path(ge=-(2**63), le=2**63 - 1)]  # what SQLite can compare with

app = FastAPI(title="Todos in SQLite", lifespan=lifespan)


def found(todo: Todo | None) -> Todo:
    if todo is None:
        raise HTTPException(status_code=404, detail="Todo not found")
    return todo


@app.get("/todos", response_model=list[TodoOut])
async def read_todos(
    session: SessionDep,
    completed: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
):
    query = select(Todo).order_by(Todo.id).limit(limit).offset(offset)
    if completed is not None:
        query = query.where(Todo.completed == completed)
    return (await session.scalars(query)).all()


@app.post("/todos", response_model=TodoOut, status_code=status.HTTP_201_CREATED)
async def create_todo(todo_in: TodoIn, session: SessionDep, response: Response):
    now = datetime.now(UTC)
    todo = Todo(created_at=now, updated_at=now, **todo_in.model_dump())
    session.add(todo)
    await session.commit()
    response.headers["Location"] = f"/todos/{todo.id}"
    return todo


@app.get("/todos/{todo_id}", response_model=TodoOut)
async def read_todo(todo_id: TodoId, session: SessionDep):
    return found(await session.get(Todo, todo_id))


async def change(session: AsyncSession, todo_id: int, changes: dict) -> Todo:
    # One statement, so that nobody can delete the row between a SELECT and the UPDATE.
    statement = update(Todo).where(Todo.id == todo_id).returning(Todo)
    todo = await session.scalar(statement.values(updated_at=datetime.now(UTC), **changes))
    await session.commit()
    return found(todo)


@app.put("/todos/{todo_id}", response_model=TodoOut)
async def replace_todo(todo_id: TodoId, todo_in: TodoIn, session: SessionDep):
    return await change(session, todo_id, todo_in.model_dump())


@app.patch("/todos/{todo_id}", response_model=TodoOut)
async def update_todo(todo_id: TodoId, todo_in: TodoPatch, session: SessionDep):
    return await change(session, todo_id, todo_in.model_dump(exclude_unset=True))


@app.delete("/todos/{todo_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_todo(todo_id: TodoId, session: SessionDep):
    deleted = await session.scalar(delete(Todo).where(Todo.id == todo_id).returning(Todo.id))
    await session.commit()
    if deleted is None:
        raise HTTPException(status_code=404, detail="Todo not found")
