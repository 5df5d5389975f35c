"""Requirement 4.7: reading or writing a picture does not block other requests."""

import pytest

from course.harness.driver import Api
from course.harness.waiting import held_up
from tests.stage04.pictures import png
from tests.stage04.uploads import new_image, upload

AT_ONCE = 4
ALLOWED = 1.0  # seconds that all requests may take longer than one; enough on a busy machine


@pytest.mark.requirement("4.7")
@pytest.mark.contract("E27")
def test_concurrent_uploads_do_not_wait_for_each_other(api: Api) -> None:
    def send() -> None:
        assert upload(api, png()).status_code == 201

    assert held_up(send, at_once=AT_ONCE) < ALLOWED


@pytest.mark.requirement("4.7")
@pytest.mark.contract("E27")
def test_concurrent_downloads_do_not_wait_for_each_other(api: Api) -> None:
    stored = new_image(api)
    assert held_up(lambda: api.request("GET", stored["url"]), at_once=AT_ONCE) < ALLOWED
