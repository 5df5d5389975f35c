"""Tasks that repeat a step for as long as the server runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

PAUSE_AFTER_ERROR = 1  # seconds

Step = Callable[[], Awaitable[None]]

logger = logging.getLogger(__name__)


async def repeat(step: Step, pause: float) -> None:
    """Call `step` forever, `pause` seconds apart; it logs only the first of several errors."""
    failing = False
    while True:
        try:
            await step()
            failing = False
            await asyncio.sleep(pause)
        except Exception as error:  # the database or Redis may be back at the next try
            if not failing:
                logger.warning("Chat: %s fails and will be retried: %r", step.__name__, error)
            failing = True
            await asyncio.sleep(PAUSE_AFTER_ERROR)


@asynccontextmanager
async def repeated(steps: dict[Step, float]) -> AsyncIterator[None]:
    """Repeat each step in a separate task; the values are the pauses in seconds."""
    tasks = [asyncio.create_task(repeat(step, pause)) for step, pause in steps.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
