"""The schemas of requests about users. Those of responses are in `app/auth/schemas.py`."""

from app.auth.roles import Role
from app.params import RequestBody


class RoleWrite(RequestBody):
    """The role that a user gets."""

    role: Role
