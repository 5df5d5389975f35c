"""What administrators do with users."""

from collections.abc import Sequence

from fastapi import APIRouter, Depends

from app.auth.dependencies import require_role
from app.auth.models import User
from app.auth.roles import Role
from app.auth.schemas import UserRead
from app.database import SessionDep
from app.errors import GuardFirstRoute
from app.parameters import Limit, Offset, RequestBody, RowId

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
    # TODO 7.3: Roles admin, author and user have different rights
    raise NotImplementedError("TODO 7.3: Roles admin, author and user have different rights")


@router.put("/{user_id}/role", response_model=UserRead)
async def set_role(user_id: RowId, role_in: RoleWrite, session: SessionDep) -> User:
    """Give a user a role, from the next request on. The last administrator stays one (409)."""
    # TODO 7.3: Roles admin, author and user have different rights
    raise NotImplementedError("TODO 7.3: Roles admin, author and user have different rights")
