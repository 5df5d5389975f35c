"""All tables. A program that needs every table, such as Alembic, imports this file."""

from app.auth.models import User
from app.blog.models import Comment, Post
from app.database import Base
from app.images.models import Image
from app.jobs.models import Job
from app.todos.models import Todo

__all__ = [
    "Base",
    "Comment",
    "Image",
    "Job",
    "Post",
    "Todo",
    "User",
]
