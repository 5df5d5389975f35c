"""The operations of administrators on users."""

from collections.abc import Sequence

from fastapi import HTTPException
from sqlalchemy import func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import User
from app.auth.roles import Role


class UserNotFound(HTTPException):
    """There is no such user: answered with 404."""

    def __init__(self, user_id: int) -> None:
        super().__init__(404, f"There is no user {user_id}")


class LastAdministrator(HTTPException):
    """This is the last administrator: answered with 409."""

    def __init__(self) -> None:
        super().__init__(409, "The last administrator cannot be demoted")


class UserService:
    """All users, for administrators."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(self, *, limit: int, offset: int) -> Sequence[User]:
        """Return up to `limit` users by id after skipping `offset`."""
        statement = select(User).order_by(User.id).limit(limit).offset(offset)
        return (await self._session.scalars(statement)).all()

    async def set_role(self, user_id: int, role: Role) -> User:
        """Give a user a role and return them; raises `UserNotFound` and `LastAdministrator`."""
        # Two administrators who demote each other at once would both see two. PostgreSQL makes the
        # second one wait here; SQLite has one writer at a time.
        admins = select(User.id).where(User.role == Role.ADMIN).order_by(User.id)
        await self._session.execute(admins.with_for_update())
        another_admin = select(func.count()).select_from(admins.subquery()).scalar_subquery() > 1
        stays_or_never_was = true() if role == Role.ADMIN else User.role != Role.ADMIN
        statement = (
            update(User)
            .where(User.id == user_id, or_(stays_or_never_was, another_admin))
            .values(role=role)
            .returning(User)
            .execution_options(populate_existing=True)
        )
        user = await self._session.scalar(statement)
        if user is None:
            if await self._session.scalar(select(User.id).where(User.id == user_id)) is None:
                raise UserNotFound(user_id)
            raise LastAdministrator
        return user
