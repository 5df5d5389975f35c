"""The chat as it runs in this process: alone, or one of several that Redis connects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from app.chat.delivery import Delivery, LocalDelivery, SharedDelivery
from app.chat.doorbell import Bell, Doorbell
from app.chat.hub import Hub
from app.chat.intake import Intake
from app.chat.neighbours import Neighbours
from app.chat.presence import TELL_EVERY, WhoIsThere
from app.chat.repeat import Step, repeated


class Room(NamedTuple):
    """What a socket needs."""

    who_is_there: WhoIsThere
    intake: Intake
    delivery: Delivery


@asynccontextmanager
async def open_room(engine: AsyncEngine, redis: Redis | None) -> AsyncIterator[Room]:
    """Yield the room. A Redis that is down does not stop the start."""
    hub = Hub()
    async with AsyncExitStack() as stack:
        delivery: Delivery
        if redis is None:
            who_is_there = WhoIsThere(hub, asyncio.Event())
            delivery = LocalDelivery(hub)
        else:
            doorbell = Doorbell(redis)
            who_is_there = WhoIsThere(hub, doorbell.heard[Bell.PRESENCE])
            delivery = shared = SharedDelivery(hub, engine, doorbell)
            neighbours = Neighbours(who_is_there, redis, doorbell)
            for part in (doorbell, shared, neighbours):
                await stack.enter_async_context(part.running())
        intake = Intake(engine, delivery)
        steps: dict[Step, float] = {intake.store_waiting: 0, who_is_there.tell_changes: TELL_EVERY}
        await stack.enter_async_context(repeated(steps))
        yield Room(who_is_there, intake, delivery)
