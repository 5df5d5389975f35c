"""What administrators send about users. What they get is in `app/auth/schemas.py`."""

from app.auth.roles import Role
from app.params import RequestBody


class RoleWrite(RequestBody):
    """The role that a user gets."""

    role: Role
