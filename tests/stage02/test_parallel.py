"""Requirement 2.4: a request that waits does not block the others."""

import pytest

from course.harness.driver import Api
from course.harness.raw_http import connect, head
from course.harness.waiting import held_up

AT_ONCE = 6
ALLOWED = 1.0  # seconds that all requests may take longer than one; enough on a busy machine


@pytest.mark.requirement("2.4")
@pytest.mark.contract("E27")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_concurrent_requests_do_not_wait_for_each_other(api: Api, method: str) -> None:
    api.create_todo()

    def ask() -> None:
        if method == "GET":
            api.list_todos()
        else:
            api.create_todo()

    assert held_up(ask, at_once=AT_ONCE) < ALLOWED


@pytest.mark.requirement("2.4")
@pytest.mark.contract("E27")
def test_a_client_that_sends_slowly_blocks_no_other_client(api: Api) -> None:
    headers = {"Content-Length": "100"}
    if api.token:
        headers["Authorization"] = f"Bearer {api.token}"
    with connect(api.server) as slow:
        slow.sendall(head(api.server, "POST", "/todos", headers) + b'{"title": "')
        assert api.request("GET", "/todos").status_code == 200
        made = api.create_todo("meanwhile")
        assert api.get_todo(made["id"])["title"] == "meanwhile"
