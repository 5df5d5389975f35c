"""The operations on users: each reads the input, calls the service and answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends

from app.auth.models import User
from app.auth.roles import Role
from app.auth.schemas import UserRead
from app.dependencies import SessionDep, require_role
from app.exceptions import errors
from app.params import Limit, Offset, RowId
from app.routing import GuardFirstRoute
from app.users.schemas import RoleWrite
from app.users.service import UserService

router = APIRouter(
    prefix="/users",
    tags=["users"],
    dependencies=[Depends(require_role(Role.ADMIN))],
    route_class=GuardFirstRoute,
    responses=errors(401, 403),
)


async def get_user_service(session: SessionDep) -> UserService:
    """Return a service that works in the request's session."""
    return UserService(session)


UserServiceDep = Annotated[UserService, Depends(get_user_service)]


@router.get("", response_model=list[UserRead])
async def list_users(
    service: UserServiceDep, limit: Limit = 20, offset: Offset = 0
) -> Sequence[User]:
    """Return users, in the order of their ids."""
    return await service.list(limit=limit, offset=offset)


@router.put("/{user_id}/role", response_model=UserRead, responses=errors(404, 409, 413))
async def set_role(user_id: RowId, role_in: RoleWrite, service: UserServiceDep) -> User:
    """Give a user a role, from the next request on. The last administrator keeps theirs (409)."""
    return await service.set_role(user_id, role_in.role)
