"""Input that hypothesis and schemathesis make up: how much of it, and from which seed.

The seed is the day's, so a failure repeats; the environment may name another (`TEST_SEED=7`).
Nothing is kept between runs: a run depends on the code and the seed only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., None])

SEED = int(os.environ.get("TEST_SEED") or f"{datetime.now(UTC):%Y%m%d}")


def made_up(examples: int) -> Callable[[Test], Test]:
    """Return a decorator for a test with `@given`: so many examples, from the seed."""
    # Imported here: the import takes a third of a second, and some callers need only the seed.
    from hypothesis import HealthCheck, seed, settings

    def decorate(test: Test) -> Test:
        bounded = settings(
            max_examples=examples,
            deadline=None,  # a busy machine is not a fault of the app
            database=None,
            print_blob=True,
            # All examples of a test ask the same server, as the same user.
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        return bounded(seed(SEED)(test))

    return decorate
