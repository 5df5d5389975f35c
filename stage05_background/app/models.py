"""Every table. A program that needs to know all of them, such as Alembic, imports this file."""

from app.auth.models import User
from app.database import Base
from app.images.models import Image
from app.jobs.models import Job
from app.todos.models import Todo

__all__ = [
    "Base",
    "Image",
    "Job",
    "Todo",
    "User",
]
