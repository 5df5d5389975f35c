"""Requirement C.1: an invalid setting stops the start with one clear line."""

from __future__ import annotations

import pytest

from course.harness.plugin import Launch
from course.harness.server import ServerDidNotStart

# Both forms read their settings in the same way.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]

# Several invalid values at a time, because each start takes seconds.
WRONG = [
    {"RATE_LIMIT_AUTH": "often", "CORS_ORIGINS": "www.example.org"},
    {"RATE_LIMIT_AUTH": "0/minute", "CORS_ORIGINS": "https://www.example.org/"},
    {"RATE_LIMIT_AUTH": "10/fortnight", "CORS_ORIGINS": "https://*.example.org"},
]


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("settings", WRONG, ids=lambda settings: " and ".join(settings.values()))
def test_invalid_settings_stop_the_start_with_one_clear_line(
    launch: Launch, settings: dict[str, str]
) -> None:
    server = launch(start=False, **settings)
    with pytest.raises(ServerDidNotStart) as stopped:
        server.start()
    assert stopped.value.exit_code not in (0, None)
    (line,) = [line for line in stopped.value.log.splitlines() if "Wrong settings" in line]
    assert [name for name in settings if name not in line] == []
    assert "Traceback" not in stopped.value.log
