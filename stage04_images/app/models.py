"""All tables. A program that needs every table, such as Alembic, imports this file."""

from app.auth.models import User
from app.database import Base
from app.images.models import Image
from app.todos.models import Todo

__all__ = [
    "Base",
    "Image",
    "Todo",
    "User",
]
