"""The dependencies of handlers."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Yield the request's session, then commit it. An error rolls everything back."""
    async with AsyncSession(request.state.engine, expire_on_commit=False) as session:
        yield session
        await session.commit()


# scope="function" ends the session, and so commits, before the answer is sent. Otherwise the client
# gets its 201 before the commit, and never learns that the commit failed.
SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
