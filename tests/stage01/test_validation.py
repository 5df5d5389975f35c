"""Requirement 1.6: invalid input gets 422, and the answer names the place and the reason."""

from typing import Any

import pytest

from course.harness.contract import variants
from course.harness.driver import NO_BODY, Api
from course.harness.problems import field_errors, named

LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 2000
MARKER = "hunter2-do-not-repeat-me"

WRONG_FIELDS: list[dict[str, Any]] = [
    {"title": ""},
    {"title": " \t\n "},
    {"title": "t" * (LONGEST_TITLE + 1)},
    {"title": None},
    {"title": 1},
    {"title": True},
    {"title": ["t"]},
    {"title": {"t": "t"}},
    {"description": "d" * (LONGEST_DESCRIPTION + 1)},
    {"description": 1},
    {"description": ["d"]},
    {"completed": "yes"},
    {"completed": "true"},
    {"completed": 1},
    {"completed": 0},
    {"completed": None},
    {"completed": 1.0},
]
UNKNOWN_FIELDS: list[dict[str, Any]] = [
    {"surprise": "a field that a todo does not have"},
    {"id": 1},
    {"created_at": "2020-01-01T00:00:00Z"},
]
ALL_WRONG = variants(WRONG_FIELDS + UNKNOWN_FIELDS, craft=UNKNOWN_FIELDS)


def assert_explains(answer: Any) -> None:
    """Check that a 422 has FastAPI's form: `loc`, `msg` and `type`."""
    assert answer.status_code == 422
    errors = field_errors(answer)
    assert errors
    for error in errors:
        assert isinstance(error["loc"], list)
        assert isinstance(error["msg"], str)
        assert isinstance(error["type"], str)


@pytest.mark.requirement("1.6", "2.6")
@pytest.mark.contract("E4", "T3", "T5")
@pytest.mark.every_variant
@pytest.mark.parametrize("fields", ALL_WRONG)
def test_an_invalid_field_in_a_new_todo_gets_422(api: Api, fields: dict[str, Any]) -> None:
    answer = api.request("POST", "/todos", json={"title": "Fine"} | fields)
    assert_explains(answer)
    assert next(iter(fields)) in named(answer)


@pytest.mark.requirement("1.6", "2.6")
@pytest.mark.contract("E4", "T3", "T7", "T8")
@pytest.mark.every_variant
@pytest.mark.parametrize("fields", ALL_WRONG)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_invalid_field_in_a_change_gets_422_and_changes_nothing(
    api: Api, method: str, fields: dict[str, Any]
) -> None:
    todo = api.create_todo(description="stays", completed=True)
    body = {"completed": False} | fields if method == "PATCH" else {"title": "Fine"} | fields
    assert_explains(api.request(method, f"/todos/{todo['id']}", json=body))
    assert api.get_todo(todo["id"]) == todo


@pytest.mark.requirement("1.6")
@pytest.mark.contract("E4", "T5", "T7")
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_title_is_required(api: Api, method: str) -> None:
    path = "/todos" if method == "POST" else f"/todos/{api.create_todo()['id']}"
    answer = api.request(method, path, json={"description": "d", "completed": True})
    assert_explains(answer)
    assert "title" in named(answer)


@pytest.mark.requirement("1.6")
@pytest.mark.craft
def test_one_422_names_every_invalid_field(api: Api) -> None:
    answer = api.request("POST", "/todos", json={"title": 1, "description": 1, "completed": 1})
    assert_explains(answer)
    assert {"title", "description", "completed"} <= named(answer)


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E8")
@pytest.mark.parametrize("fields", [{"title": ""}, {"title": None}, {"completed": "yes"}])
def test_a_422_does_not_contain_the_input(api: Api, fields: dict[str, Any]) -> None:
    answer = api.request("POST", "/todos", json={"title": "Fine"} | fields)
    assert answer.status_code == 422
    assert [error for error in field_errors(answer) if "input" in error] == []


@pytest.mark.requirement("1.6")
@pytest.mark.contract("T3")
@pytest.mark.parametrize("length", [1, LONGEST_TITLE])
@pytest.mark.parametrize("letter", variants("tж🥛", craft="🥛"))
def test_a_title_has_1_to_200_characters_not_bytes(api: Api, letter: str, length: int) -> None:
    assert api.create_todo(letter * length)["title"] == letter * length


@pytest.mark.requirement("1.6")
@pytest.mark.contract("T3")
def test_a_description_has_up_to_2000_characters(api: Api) -> None:
    longest = "ж" * LONGEST_DESCRIPTION
    assert api.create_todo(description=longest)["description"] == longest
    assert api.create_todo(description="")["description"] in ("", None)


@pytest.mark.requirement("1.6")
@pytest.mark.contract("T3")
def test_a_title_is_trimmed_before_its_length_is_checked(api: Api) -> None:
    padded = "  " + "t" * LONGEST_TITLE + "\n"
    todo = api.create_todo(padded)
    assert todo["title"] == "t" * LONGEST_TITLE
    assert api.patch_todo(todo["id"], title=" New ")["title"] == "New"
    assert api.replace_todo(todo["id"], title="\tNewer ")["title"] == "Newer"


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E8")
@pytest.mark.parametrize(
    "body",
    [
        {"title": [MARKER]},
        {"title": {"password": MARKER}},
        {"title": MARKER * 10},
        {"title": "Fine", "description": {"secret": MARKER}},
        {"title": "Fine", "completed": MARKER},
        {"title": "Fine", "surprise": MARKER},
        [MARKER],
        MARKER,
    ],
)
def test_a_422_never_repeats_any_part_of_the_body(api: Api, body: Any) -> None:
    answer = api.request("POST", "/todos", json=body)
    assert answer.status_code == 422
    assert MARKER not in answer.text


@pytest.mark.requirement("1.6")
@pytest.mark.craft("E8")
@pytest.mark.parametrize("path", [f"/todos/{MARKER}", f"/todos?limit={MARKER}"])
def test_a_422_never_repeats_a_value_from_the_url(api: Api, path: str) -> None:
    answer = api.request("GET", path)
    assert answer.status_code in (404, 422)
    assert MARKER not in answer.text


@pytest.mark.requirement("1.6", "2.6")
@pytest.mark.contract("E25", "E3")
@pytest.mark.every_variant
@pytest.mark.parametrize(
    "todo_id",
    variants(
        [
            *("0", "-1", str(2**63 - 1), str(2**63), str(2**64), str(10**30), "9" * 5000),
            *("abc", "1.5", "1e3", "%00", "%FF", "null", "%F0%9F%A5%9B", "٣"),
        ],
        craft=["9" * 5000, "1.5", "1e3", "%00", "%FF", "%F0%9F%A5%9B", "٣"],
    ),
)
def test_an_impossible_id_gets_404_or_422(api: Api, todo_id: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = {"title": "Fine"} if method in ("PUT", "PATCH") else NO_BODY
        answer = api.request(method, f"/todos/{todo_id}", json=body)
        assert answer.status_code in (404, 422), method
        assert "detail" in answer.json()
