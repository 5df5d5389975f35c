"""All tables. A program that needs every table, such as Alembic, imports this file."""

from app.database import Base
from app.todos.models import Todo

__all__ = [
    "Base",
    "Todo",
]
