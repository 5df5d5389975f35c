"""Row 2.4: one request does not hold up the others, whatever it waits for."""

import pytest

from course.harness.driver import Api
from course.harness.raw_http import connect, head
from course.harness.waiting import held_up

AT_ONCE = 6
ALLOWED = 1.0  # seconds that as many may take longer than one: much, also for a busy machine


@pytest.mark.requirement("2.4")
@pytest.mark.contract("E27")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_many_requests_at_once_do_not_wait_for_each_other(api: Api, method: str) -> None:
    api.create_todo()

    def ask() -> None:
        if method == "GET":
            api.list_todos()
        else:
            api.create_todo()

    assert held_up(ask, at_once=AT_ONCE) < ALLOWED


@pytest.mark.requirement("2.4")
@pytest.mark.contract("E27")
def test_a_client_that_sends_slowly_holds_up_nobody(api: Api) -> None:
    headers = {"Content-Length": "100"}
    if api.token:
        headers["Authorization"] = f"Bearer {api.token}"
    with connect(api.server) as slow:
        slow.sendall(head(api.server, "POST", "/todos", headers) + b'{"title": "')
        assert api.request("GET", "/todos").status_code == 200
        made = api.create_todo("meanwhile")
        assert api.get_todo(made["id"])["title"] == "meanwhile"
