"""Requirement 1.1: the list, its order, its pages and its filter. Other todos may exist."""

import pytest

from course.harness.contract import variants
from course.harness.driver import PAGE, Api

ADDITIONS = PAGE + 1  # more than one page, even if no other todos exist


@pytest.mark.requirement("1.1")
@pytest.mark.contract("T4", "E21")
def test_the_list_is_sorted_by_id(api: Api) -> None:
    for _ in range(3):
        api.create_todo()
    ids = [todo["id"] for todo in api.every_todo()]
    assert ids == sorted(ids)


@pytest.mark.requirement("1.1")
@pytest.mark.contract("T4", "E21")
def test_a_changed_todo_keeps_its_place_in_the_list(api: Api) -> None:
    first, second = api.create_todo(), api.create_todo()
    api.patch_todo(first["id"], completed=True)
    ids = [todo["id"] for todo in api.every_todo()]
    assert ids.index(first["id"]) < ids.index(second["id"])


@pytest.mark.requirement("1.1")
@pytest.mark.contract("E21")
@pytest.mark.parametrize("limit", [7, PAGE])
def test_the_pages_contain_every_todo_once(api: Api, limit: int) -> None:
    made = [api.create_todo()["id"] for _ in range(9)]
    listed = [todo["id"] for todo in api.every_todo(limit=limit)]
    assert len(listed) == len(set(listed))
    assert [todo_id for todo_id in listed if todo_id in made] == made


@pytest.mark.requirement("1.1")
@pytest.mark.own_stage("app/todos/", "app/params.py")
@pytest.mark.contract("E21")
def test_a_page_has_100_todos_by_default(api: Api) -> None:
    for _ in range(ADDITIONS):
        api.create_todo()
    assert len(api.list_todos()) == PAGE
    assert len(api.list_todos(limit=PAGE)) == PAGE
    assert len(api.list_todos(limit=1)) == 1


@pytest.mark.requirement("1.1")
@pytest.mark.contract("E21")
def test_an_offset_past_the_end_returns_an_empty_page(api: Api) -> None:
    assert api.list_todos(offset=2**31) == []


@pytest.mark.requirement("1.1")
@pytest.mark.contract("T4")
def test_the_filter_separates_completed_from_open_todos(api: Api) -> None:
    done, still_open = api.create_todo(completed=True)["id"], api.create_todo()["id"]
    listed_done = {todo["id"]: todo["completed"] for todo in api.every_todo(completed="true")}
    listed_open = {todo["id"]: todo["completed"] for todo in api.every_todo(completed="false")}
    assert set(listed_done.values()) == {True}
    assert set(listed_open.values()) == {False}
    assert (done in listed_done, done in listed_open) == (True, False)
    assert (still_open in listed_done, still_open in listed_open) == (False, True)


@pytest.mark.requirement("1.6")
@pytest.mark.contract("E21", "E4")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    "query",
    variants(
        [
            *("limit=0", "limit=101", "limit=-1", "limit=x", "limit=1.5", "limit=" + "9" * 5000),
            *("offset=-1", "offset=x", "offset=1.5", "completed=maybe", "completed=2"),
        ],
        craft=["limit=1.5", "limit=" + "9" * 5000, "offset=1.5", "completed=2"],
    ),
    ids=lambda query: query[:20],
)
def test_an_invalid_query_gets_422(api: Api, query: str) -> None:
    assert api.request("GET", f"/todos?{query}").status_code == 422


@pytest.mark.requirement("1.6", "2.6")
@pytest.mark.craft("E7")
@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64, 10**30])
def test_an_enormous_offset_causes_no_server_error(api: Api, offset: int) -> None:
    answer = api.request("GET", "/todos", params={"offset": offset})
    assert answer.status_code in (200, 422)
    assert answer.status_code == 422 or answer.json() == []
