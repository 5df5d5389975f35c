"""The dependencies of handlers."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Give a request its session, and commit what it did. An error rolls all of it back."""
    async with AsyncSession(request.state.engine, expire_on_commit=False) as session:
        yield session
        await session.commit()


# scope="function" ends the session, and so commits, before the answer is sent: without it a client
# would be told 201 first, and nobody could tell it that the commit failed.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
