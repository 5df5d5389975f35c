"""`Idempotency-Key`: a repeated request is executed once, and gets the first answer again.

A client with a broken connection cannot know whether its request arrived. With a key that it makes
itself, it may send the request again, for a day (draft-ietf-httpapi-idempotency-key-header). Keys
belong to a user and a route. The key, the answer and the new row are committed together or not at
all. So this also works for simultaneous requests, on any number of servers, and after a crash. An
error answer is not kept, so the client may try again. Requests without a key use none of this.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic_core import to_json
from sqlalchemy import ForeignKey, String, Text, delete, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.dependencies import SessionDep, oauth2_scheme, verify
from app.exceptions import Unavailable

MAX_KEY = 255  # characters
KEPT_FOR = timedelta(hours=24)
DELETED_AT_ONCE = 1000


class IdempotencyKey(Base):
    """A request that was executed, and must not be executed again."""

    __tablename__ = "idempotency_keys"

    # The primary key admits only one of several simultaneous requests.
    owner_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(String(MAX_KEY), primary_key=True)
    route: Mapped[str] = mapped_column(String(50), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # SHA-256 of the validated input
    created_at: Mapped[datetime] = mapped_column(index=True)  # the index serves the cleanup

    # The answer. The transaction that adds the row also fills it in, so no other transaction sees
    # it empty.
    status: Mapped[int] = mapped_column(default=0)
    location: Mapped[str] = mapped_column(String(200), default="")
    body: Mapped[str] = mapped_column(Text, default="")


class Idempotency:
    """The key of one request: first `replay`, then `keep`."""

    def __init__(self, session: AsyncSession, owner_id: int, route: str, key: str | None) -> None:
        self._session = session
        self._owner_id = owner_id
        self._route = route
        self._key = key
        self._claimed: IdempotencyKey | None = None

    async def replay(self, *asked_for: object) -> Response | None:
        """Return the first answer, or None: the caller then executes the request itself.

        Call this before any write, because it may roll back. `asked_for` is the validated input. A
        different input than the first time gets 422.
        """
        if self._key is None:
            return None
        fingerprint = hashlib.sha256(to_json(asked_for)).hexdigest()
        claimed = IdempotencyKey(
            owner_id=self._owner_id,
            key=self._key,
            route=self._route,
            fingerprint=fingerprint,
            created_at=datetime.now(UTC),
        )
        self._session.add(claimed)
        try:
            # While the first request runs, the database makes the second one wait here.
            await self._session.flush()
        except IntegrityError:
            await self._session.rollback()
        else:
            self._claimed = claimed
            return None
        first = await self._session.get(IdempotencyKey, (self._owner_id, self._key, self._route))
        if first is None:  # the cleanup has just removed it, or the user is gone
            raise Unavailable("The first answer has just expired: send the request again")
        if first.fingerprint != fingerprint:
            message = "This key was used with different input: use a new key for each request"
            problem = {"type": "key_reused", "loc": ("header", "Idempotency-Key"), "msg": message}
            raise RequestValidationError([problem])
        headers = {"Location": first.location, "Idempotency-Replayed": "true"}
        return Response(first.body, first.status, headers, media_type="application/json")

    def keep(self, made: object, schema: type[BaseModel], *, status: int, location: str) -> None:
        """Keep `made`, in the form of `schema`, as the answer; the transaction commits it."""
        if self._claimed is not None:
            answer = schema.model_validate(made, from_attributes=True)
            self._claimed.status = status
            self._claimed.location = location
            self._claimed.body = answer.model_dump_json()

    async def forget(self) -> None:
        """Remove the kept answer, since this transaction deletes the row that it describes."""
        if self._claimed is not None:
            await self._session.delete(self._claimed)


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=MAX_KEY,
        pattern=r"^[\x20-\x7e]+$",  # printable ASCII
        description="A repeated request with the same key gets the first answer again",
    ),
]


async def get_idempotency(
    request: Request,
    session: SessionDep,
    token: Annotated[str, Depends(oauth2_scheme)],
    key: Key = None,
) -> Idempotency:
    """Return the `Idempotency` of the request, with its key or without one.

    It reads only the id in the token, because the route's guard loads the user. Loading the user
    here, too, would take a second connection while the guard holds the first. In a burst, all
    requests would then wait for each other.
    """
    return Idempotency(session, verify(token, request), request.url.path, key)


async def refuse_key(key: Key = None) -> None:
    """Raise a 422 for a key, since a key belongs to a user, and registration has none yet."""
    if key is not None:
        message = "Registration takes no key: a repeated one answers that the username is taken"
        problem = {"type": "key_not_taken", "loc": ("header", "Idempotency-Key"), "msg": message}
        raise RequestValidationError([problem])


IdempotencyDep = Annotated[Idempotency, Depends(get_idempotency)]


async def remove_old_keys(engine: AsyncEngine) -> None:
    """Remove the keys that are older than a day, in batches, so that no statement takes long."""
    columns = (IdempotencyKey.owner_id, IdempotencyKey.key, IdempotencyKey.route)
    is_old = IdempotencyKey.created_at < datetime.now(UTC) - KEPT_FOR
    some = select(*columns).where(is_old).order_by(IdempotencyKey.created_at).limit(DELETED_AT_ONCE)
    some = some.with_for_update(skip_locked=True)  # another process may be removing keys, too
    deleted = DELETED_AT_ONCE
    while deleted >= DELETED_AT_ONCE:
        async with engine.begin() as connection:
            statement = delete(IdempotencyKey).where(tuple_(*columns).in_(some))
            deleted = (await connection.execute(statement)).rowcount
