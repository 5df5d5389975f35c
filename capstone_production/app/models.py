"""All tables. A program that needs every table, such as Alembic, imports this file."""

from app.auth.models import RefreshToken, User
from app.blog.models import Comment, Post
from app.chat.models import Message
from app.database import Base
from app.idempotency import IdempotencyKey
from app.images.models import Image
from app.jobs.models import Job
from app.todos.models import Todo

__all__ = [
    "Base",
    "Comment",
    "IdempotencyKey",
    "Image",
    "Job",
    "Message",
    "Post",
    "RefreshToken",
    "Todo",
    "User",
]
