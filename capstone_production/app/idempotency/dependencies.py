"""The key of a request, for handlers that create something."""

from typing import Annotated

from fastapi import Depends, Header, Request
from fastapi.exceptions import RequestValidationError

from app.dependencies import SessionDep, oauth2_scheme, verify
from app.idempotency.models import MAX_KEY
from app.idempotency.service import Idempotency

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY,
        pattern=r"^[\x20-\x7e]+$",  # what ASCII can print
        description="A request with a key that was used before gets the first answer again",
    ),
]


async def get_idempotency(
    request: Request,
    session: SessionDep,
    token: Annotated[str, Depends(oauth2_scheme)],
    key: Key = None,
) -> Idempotency:
    """Return what the request's key, if it has one, is good for.

    The token is enough: the route's guard finds the user. To load the user here would take a second
    connection while the guard holds the first, and a burst of requests would wait for itself.
    """
    return Idempotency(session, verify(token, request), request.url.path, key)


async def refuse_key(key: Key = None) -> None:
    """Answer 422 to a key: it belongs to a user, and here is none yet."""
    if key is not None:
        message = "Registering takes no key: sent again, it answers that the username is taken"
        problem = {"type": "key_not_taken", "loc": ("header", "Idempotency-Key"), "msg": message}
        raise RequestValidationError([problem])


IdempotencyDep = Annotated[Idempotency, Depends(get_idempotency)]
