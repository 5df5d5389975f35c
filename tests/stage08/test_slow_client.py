"""Requirement 8.4: the server disconnects a client that does not read."""

from __future__ import annotations

import asyncio
import time

import pytest

from course.harness.driver import Api
from course.harness.server import Server
from tests.stage08.chat import new_text, who_is
from tests.stage08.stuck import stuck_client
from tests.stage08.test_load import crowd, tokens_of

SPEAKERS = 20
CUT_OFF_WITHIN = 20.0  # seconds
ROUND = 0.05  # seconds between two messages of each user
LONG = "😀" * 1900  # four bytes each


@pytest.mark.requirement("8.4")
@pytest.mark.contract("C15")
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_client_that_does_not_read_is_disconnected(server: Server) -> None:
    """The system buffers megabytes for the client, so the test sends many long messages."""
    with Api(server) as visitor:
        tokens, stuck = tokens_of(visitor, SPEAKERS), visitor.as_new_user()
        user = who_is(stuck)["id"]

        async def is_cut_off() -> bool:
            async with crowd(server, tokens) as people:
                with stuck_client(stuck):
                    deadline = time.monotonic() + CUT_OFF_WITHIN
                    while user not in people[0].left and time.monotonic() < deadline:
                        for somebody in people:
                            await somebody.say(new_text().ljust(40) + LONG)
                        await asyncio.sleep(ROUND)
                    return user in people[0].left

        assert asyncio.run(is_cut_off()), f"not disconnected within {CUT_OFF_WITHIN:.0f} s"
