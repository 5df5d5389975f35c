"""Orders tests that wait for something slow: it starts early, and they run late."""

import pytest


def needs(item: pytest.Item, fixture: str) -> bool:
    """Return whether the test asks for the fixture."""
    return fixture in getattr(item, "fixturenames", ())
