"""Requirements 1.1 to 1.5: the operations on todos, with valid requests."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from course.harness.driver import Api, Todo
from course.harness.waiting import eventually, in_parallel

FIELDS = {"id", "title", "description", "completed", "created_at", "updated_at"}
A_MOMENT = timedelta(seconds=1)  # an app may read its clock separately for each field
NO_SUCH_ID = 2**53 - 1  # too large to be assigned, and exact in every JSON parser
LANGUAGES = ["Купить молоко 🥛", "שלום עולם", "日本語のタスク", "👩‍👩‍👧‍👦 \u00e9 e\u0301 \u202e"]


def without(todo: Todo, *fields: str) -> Todo:
    """Return the todo without these fields."""
    return {name: value for name, value in todo.items() if name not in fields}


@pytest.mark.requirement("1.3")
@pytest.mark.contract("T1", "T5")
def test_creating_a_todo_returns_all_its_fields(api: Api) -> None:
    todo = api.create_todo("Buy milk", description="Two litres", completed=True)
    assert set(todo) == FIELDS
    assert type(todo["id"]) is int
    assert without(todo, "id", "created_at", "updated_at") == {
        "title": "Buy milk",
        "description": "Two litres",
        "completed": True,
    }


@pytest.mark.requirement("1.3")
@pytest.mark.contract("T3", "T5")
def test_a_todo_needs_only_a_title(api: Api) -> None:
    todo = api.create_todo("Buy milk")
    assert (todo["description"], todo["completed"]) == (None, False)


@pytest.mark.requirement("1.3")
@pytest.mark.contract("E15", "T5", "T6")
def test_the_location_header_is_the_url_of_the_new_todo(api: Api) -> None:
    answer = api.request("POST", "/todos", json={"title": "Buy milk"})
    assert answer.status_code == 201
    read = api.get_todo(answer.json()["id"])  # fails here if reading is at fault
    location = urljoin(str(answer.url), answer.headers["location"])
    assert api.request("GET", location).json() == read == answer.json()


@pytest.mark.requirement("1.1", "1.2")
@pytest.mark.contract("T4", "T6")
def test_a_todo_is_the_same_by_id_and_in_the_list(api: Api) -> None:
    todo = api.create_todo(description="the same everywhere")
    assert api.get_todo(todo["id"]) == todo
    assert todo in api.every_todo()


@pytest.mark.requirement("1.2")
@pytest.mark.contract("T6", "T9")
def test_an_id_returns_the_same_todo_after_others_are_deleted(api: Api) -> None:
    deleted, *others = (api.create_todo() for _ in range(5))
    assert api.request("DELETE", f"/todos/{deleted['id']}").status_code == 204
    assert [api.get_todo(todo["id"]) for todo in others] == others


@pytest.mark.requirement("1.1")
@pytest.mark.contract("E1")
def test_answers_are_json_in_utf_8(api: Api) -> None:
    answer = api.request("GET", "/todos")
    assert answer.status_code == 200
    kind, _, parameters = answer.headers["content-type"].lower().partition(";")
    assert kind.strip() == "application/json"
    assert parameters.strip().replace('"', "") in ("", "charset=utf-8")


@pytest.mark.requirement("1.2")
@pytest.mark.contract("E1", "T3")
@pytest.mark.parametrize("text", LANGUAGES)
def test_text_in_any_language_is_returned_unchanged(api: Api, text: str) -> None:
    todo = api.create_todo(text, description=text)
    read = api.get_todo(todo["id"])
    assert (read["title"], read["description"]) == (text, text)


@pytest.mark.requirement("1.3")
@pytest.mark.contract("E2", "T2")
def test_times_are_in_utc_and_close_to_now(api: Api) -> None:
    todo = api.create_todo()
    created, updated = (datetime.fromisoformat(todo[name]) for name in ("created_at", "updated_at"))
    assert created.utcoffset() == updated.utcoffset() == timedelta(0)
    assert timedelta(0) <= updated - created <= A_MOMENT
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=5)


@pytest.mark.requirement("1.3")
@pytest.mark.craft
def test_a_new_todo_has_equal_created_at_and_updated_at(api: Api) -> None:
    todo = api.create_todo()
    assert todo["created_at"] == todo["updated_at"]


@pytest.mark.requirement("1.5")
@pytest.mark.contract("T2")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_keeps_created_at_and_never_moves_updated_at_back(api: Api, method: str) -> None:
    todo = api.create_todo()
    changed = api.request(method, f"/todos/{todo['id']}", json={"title": "Changed"}).json()
    assert changed["created_at"] == todo["created_at"]
    created, updated = (
        datetime.fromisoformat(changed[name]) for name in ("created_at", "updated_at")
    )
    assert updated >= created
    assert updated >= datetime.fromisoformat(todo["updated_at"])


@pytest.mark.requirement("1.5")
@pytest.mark.craft
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_advances_updated_at_and_keeps_created_at(api: Api, method: str) -> None:
    todo = api.create_todo()
    path = f"/todos/{todo['id']}"
    numbers = itertools.count()

    def changed_later() -> Any:
        # Repeat until the clock has advanced: some clocks have milliseconds or seconds only.
        changed = api.request(method, path, json={"title": f"Changed {next(numbers)}"}).json()
        assert changed["created_at"] == todo["created_at"]
        return datetime.fromisoformat(changed["updated_at"]) > datetime.fromisoformat(
            todo["updated_at"]
        )

    assert eventually(changed_later)


@pytest.mark.requirement("1.5")
@pytest.mark.contract("T7")
def test_put_replaces_every_field(api: Api) -> None:
    todo = api.create_todo("Old", description="Old", completed=True)
    api.replace_todo(todo["id"], title="New")
    replaced = api.get_todo(todo["id"])
    assert without(replaced, "updated_at", "created_at") == {
        "id": todo["id"],
        "title": "New",
        "description": None,
        "completed": False,
    }


@pytest.mark.requirement("1.5")
@pytest.mark.contract("T8")
@pytest.mark.parametrize(
    "change",
    [{"title": "New"}, {"description": "New"}, {"description": None}, {"completed": False}],
)
def test_patch_changes_only_the_fields_that_are_sent(api: Api, change: dict[str, Any]) -> None:
    todo = api.create_todo("Old", description="Old", completed=True)
    answered = api.patch_todo(todo["id"], **change)
    assert without(answered, "updated_at") == without(todo, "updated_at") | change
    assert api.get_todo(todo["id"]) == answered


@pytest.mark.requirement("1.5")
@pytest.mark.contract("T8")
def test_an_empty_patch_changes_nothing(api: Api) -> None:
    todo = api.create_todo(description="stays", completed=True)
    answered = api.patch_todo(todo["id"])
    assert without(answered, "updated_at") == without(todo, "updated_at")


@pytest.mark.requirement("1.4")
@pytest.mark.contract("T9")
def test_each_delete_removes_the_todo_with_that_id(api: Api) -> None:
    ids = [api.create_todo()["id"] for _ in range(8)]
    for todo_id in ids[:3]:
        api.delete_todo(todo_id)
    left = [todo["id"] for todo in api.every_todo()]
    assert [todo_id for todo_id in left if todo_id in ids] == ids[3:]


@pytest.mark.requirement("1.4")
@pytest.mark.contract("T9")
def test_a_deleted_todo_gets_404(api: Api) -> None:
    todo = api.create_todo()
    api.delete_todo(todo["id"])
    assert api.request("GET", f"/todos/{todo['id']}").status_code == 404
    assert todo not in api.every_todo()


@pytest.mark.requirement("1.4")
@pytest.mark.contract("T9")
def test_delete_answers_204_without_a_body_and_then_404(api: Api) -> None:
    path = f"/todos/{api.create_todo()['id']}"
    first, second = api.request("DELETE", path), api.request("DELETE", path)
    assert (first.status_code, first.content) == (204, b"")
    assert second.status_code == 404


@pytest.mark.requirement("1.4")
@pytest.mark.contract("T9")
def test_deleting_one_todo_keeps_the_others(api: Api) -> None:
    kept, deleted, kept_too = (api.create_todo() for _ in range(3))
    api.delete_todo(deleted["id"])
    assert [api.get_todo(todo["id"]) for todo in (kept, kept_too)] == [kept, kept_too]


@pytest.mark.requirement("1.3", "1.4")
@pytest.mark.contract("E24")
def test_the_id_of_a_deleted_todo_is_never_reused(api: Api) -> None:
    ids = []
    for _ in range(3):
        ids.append(api.create_todo()["id"])
        api.delete_todo(ids[-1])  # the newest; `count + 1` would reuse its id
    assert len(set(ids)) == 3


def assert_unknown(answer: httpx.Response) -> None:
    """Check that the answer is a 404 in JSON with a reason."""
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("1.2")
@pytest.mark.contract("E3", "E5")
def test_an_unknown_id_gets_404_with_a_reason(api: Api) -> None:
    assert_unknown(api.request("GET", f"/todos/{NO_SUCH_ID}"))


@pytest.mark.requirement("1.5")
@pytest.mark.contract("E3", "E5")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_changing_an_unknown_id_gets_404_with_a_reason(api: Api, method: str) -> None:
    assert_unknown(api.request(method, f"/todos/{NO_SUCH_ID}", json={"title": "Nobody's"}))


@pytest.mark.requirement("1.4")
@pytest.mark.contract("E3", "E5")
def test_deleting_an_unknown_id_gets_404_with_a_reason(api: Api) -> None:
    assert_unknown(api.request("DELETE", f"/todos/{NO_SUCH_ID}"))


@pytest.mark.requirement("1.3")
@pytest.mark.own_stage("app/todos/", "app/database.py")
@pytest.mark.contract("T5")
def test_fifty_concurrent_clients_each_create_a_todo(api: Api) -> None:
    made = in_parallel(50, lambda number: api.create_todo(f"of client {number}"))
    assert not made.errors
    assert len({todo["id"] for todo in made.results}) == 50
    titles = [api.get_todo(todo["id"])["title"] for todo in made.results]
    assert titles == [f"of client {number}" for number in range(50)]


@pytest.mark.requirement("1.4")
@pytest.mark.contract("B13", since=7)
def test_concurrent_deletes_of_one_todo_succeed_exactly_once(api: Api) -> None:
    path = f"/todos/{api.create_todo()['id']}"
    answers = in_parallel(10, lambda _: api.request("DELETE", path).status_code)
    assert sorted(answers.results) == [204] + [404] * 9
