"""Tests that wait for something that takes long: it begins early, and they come late."""

import pytest


def needs(item: pytest.Item, fixture: str) -> bool:
    """Return whether the test asks for the fixture."""
    return fixture in getattr(item, "fixturenames", ())
