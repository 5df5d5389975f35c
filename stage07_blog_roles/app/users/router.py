"""What administrators do with users."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends, HTTPException
from sqlalchemy import func, or_, select, true, update

from app.auth.models import User
from app.auth.roles import Role
from app.auth.schemas import UserRead
from app.dependencies import SessionDep, require_role
from app.params import Limit, Offset, RequestBody, RowId
from app.routing import GuardFirstRoute

router = APIRouter(
    prefix="/users",
    tags=["users"],
    dependencies=[Depends(require_role(Role.ADMIN))],
    route_class=GuardFirstRoute,
)


class RoleWrite(RequestBody):
    """The role that a user gets."""

    role: Role


@router.get("", response_model=list[UserRead])
async def list_users(session: SessionDep, limit: Limit = 20, offset: Offset = 0) -> Sequence[User]:
    """Return users by id."""
    statement = select(User).order_by(User.id).limit(limit).offset(offset)
    return (await session.scalars(statement)).all()


@router.put("/{user_id}/role", response_model=UserRead)
async def set_role(user_id: RowId, role_in: RoleWrite, session: SessionDep) -> User:
    """Give a user a role, from the next request on. The last administrator stays one (409)."""
    # Two who demote each other at once would each still see two. PostgreSQL lets the second wait
    # here; SQLite has one writer at a time anyway.
    admins = select(User.id).where(User.role == Role.ADMIN).order_by(User.id)
    await session.execute(admins.with_for_update())
    another_admin = select(func.count()).select_from(admins.subquery()).scalar_subquery() > 1
    stays_or_never_was = true() if role_in.role == Role.ADMIN else User.role != Role.ADMIN
    statement = (
        update(User)
        .where(User.id == user_id, or_(stays_or_never_was, another_admin))
        .values(role=role_in.role)
        .returning(User)
        .execution_options(populate_existing=True)
    )
    user = await session.scalar(statement)
    if user is None:
        if await session.scalar(select(User.id).where(User.id == user_id)) is None:
            raise HTTPException(404, f"There is no user {user_id}")
        raise HTTPException(409, "The last administrator cannot be demoted")
    return user
