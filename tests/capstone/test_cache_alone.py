"""Requirement C.3: without Redis, a client reads its own change at once."""

from __future__ import annotations

import pytest

from course.harness.driver import Api

# With Redis, its notification to all processes may hide that the own cache was forgotten.
pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]


@pytest.mark.requirement("C.3")
def test_without_redis_a_client_reads_its_own_change_at_once(api: Api) -> None:
    todo = api.create_todo(title="before")
    path = f"/todos/{todo['id']}"
    for _ in range(2):
        answer = api.request("GET", path)
    assert answer.headers["x-cache"] == "L1"
    assert api.request("PATCH", path, json={"title": "after"}).status_code == 200
    assert api.request("GET", path).json()["title"] == "after"
    assert [each["title"] for each in api.list_todos()] == ["after"]
    api.delete_todo(todo["id"])
    assert api.request("GET", path).status_code == 404
    assert api.list_todos() == []
