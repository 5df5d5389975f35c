"""Limits the rows of each user, so that no user fills the database alone.

A count takes longer the more rows a user has, so not every write counts. After a count, a process
lets a tenth of the remaining rows pass before it counts again. So up to ten processes together stay
within the limit, and close to the limit every write counts. Simultaneous writes may exceed it by a
few rows.
"""

from typing import Annotated

from cachetools import LRUCache
from fastapi import Depends, HTTPException, Request
from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from app.config import Settings

SHARE = 10  # one part in ten of the remaining rows passes without a count
MAX_USERS = 100_000  # users whose remaining rows a process remembers


class QuotaExceeded(HTTPException):
    """A user has reached the limit for a kind of rows: answered with 409."""

    def __init__(self, kind: str, limit: int) -> None:
        super().__init__(409, f"You have {limit} {kind}, the maximum for one user")


class Quotas:
    """The number of rows that each user may still add, as far as this process knows."""

    def __init__(self, settings: Settings) -> None:
        self._limits = {
            "todos": settings.max_todos_per_user,
            "posts": settings.max_posts_per_user,
            "comments": settings.max_comments_per_user,
        }
        self._left: LRUCache[tuple[str, int], int] = LRUCache(MAX_USERS)

    async def take(
        self, session: AsyncSession, owner: InstrumentedAttribute[int], owner_id: int
    ) -> None:
        """Count one more row of this user; raises `QuotaExceeded`.

        `owner` is the column with the id of the user.
        """
        kind = owner.class_.__tablename__
        left = self._left.get((kind, owner_id), 0)
        if left == 0:
            limit = self._limits[kind]
            some = select(literal(1)).where(owner == owner_id).limit(limit).subquery()
            count = await session.scalar(select(func.count()).select_from(some)) or 0
            if count >= limit:
                raise QuotaExceeded(kind, limit)
            left = 1 + (limit - count) // SHARE
        self._left[kind, owner_id] = left - 1


async def get_quotas(request: Request) -> Quotas:
    """Return the quotas, which all requests of the process share."""
    quotas: Quotas = request.state.quotas
    return quotas


QuotasDep = Annotated[Quotas, Depends(get_quotas)]
