"""Creates the first administrator, since there is no other administrator to do it."""

import logging
from datetime import UTC, datetime

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.auth.models import User
from app.auth.roles import Role
from app.auth.schemas import UserCreate
from app.auth.security import PasswordHasher
from app.config import Settings
from app.exceptions import StartupError

US = ""  # the client for a password from the settings, not from a request
ONE_AT_A_TIME = 1_907_001  # the number of a lock in PostgreSQL that nothing else uses

logger = logging.getLogger(__name__)


async def ensure_first_admin(
    settings: Settings, engine: AsyncEngine, hasher: PasswordHasher
) -> None:
    """Create the administrator of the settings, if there is no administrator yet.

    An existing user of this name becomes administrator only with the same password, because anybody
    may have registered the name. Raises `StartupError` when the settings are wrong.
    """
    username = settings.first_admin_username
    given = {"username": username, "password": settings.first_admin_password.get_secret_value()}
    if not any(given.values()):
        return
    try:
        wanted = UserCreate.model_validate(given)
    except ValidationError as error:
        problems = [
            f"FIRST_ADMIN_{str(at['loc'][0]).upper()}: {at['msg']}"
            for at in error.errors(include_input=False)
        ]
        raise StartupError("Wrong settings. " + "; ".join(problems)) from None
    password = wanted.password.get_secret_value()
    async with AsyncSession(engine, expire_on_commit=False) as session:
        any_admin = select(User.id).where(User.role == Role.ADMIN).limit(1)
        if await session.scalar(any_admin):
            return
        folded = wanted.username.lower()
        user = await session.scalar(select(User).where(User.username_folded == folded))
        await session.commit()  # hashing is slow, so no transaction is open meanwhile
        if user is None:
            password_hash = await hasher.hash(password, client=US)
            if engine.dialect.name == "postgresql":
                # Replicas start together, and a second INSERT would log an error in PostgreSQL.
                await session.execute(select(func.pg_advisory_xact_lock(ONE_AT_A_TIME)))
                if await session.scalar(any_admin):
                    return
            user = User(
                username=wanted.username,
                username_folded=folded,
                password_hash=password_hash,
                created_at=datetime.now(UTC),
            )
            session.add(user)
        elif not (await hasher.verify(password, user.password_hash, client=US)).matches:
            logger.error("No first administrator: the user %s has another password", username)
            return
        user.role = Role.ADMIN
        try:
            await session.commit()
        except IntegrityError:
            return  # another process that starts right now was faster
    logger.info("%s is the first administrator", username)
