"""The changes of an API that break a client are found, and additions are allowed."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from course.catalog.command import run
from tools.sync import openapi
from tools.sync.openapi import missing
from tools.tests.conftest import FOUR, ONE, THREE, TWO, Course

Document = dict[str, Any]


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def document() -> Document:
    """A document of the shape that FastAPI writes."""
    return {
        "paths": {
            "/todos": {
                "get": {
                    "parameters": [
                        {"name": "limit", "in": "query", "required": False},
                        {"name": "X-Trace", "in": "header", "required": True},
                    ],
                    "responses": {
                        "200": {"content": {"application/json": {"schema": ref("Page")}}},
                        "422": {"content": {"application/json": {"schema": ref("Problem")}}},
                    },
                },
                "post": {
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": ref("TodoCreate")}},
                    },
                    "responses": {
                        "201": {"content": {"application/json": {"schema": ref("Todo")}}}
                    },
                },
            },
            "/todos/{todo_id}": {
                "parameters": [{"name": "todo_id", "in": "path", "required": True}],
                "delete": {"responses": {"204": {"description": "Gone"}}},
                "patch": {
                    "requestBody": {
                        "content": {"application/json": {"schema": ref("TodoCreate")}},
                    },
                    "responses": {
                        "200": {"content": {"application/json": {"schema": ref("Todo")}}}
                    },
                },
            },
        },
        "components": {
            "schemas": {
                "Page": {
                    "properties": {
                        "items": {"type": "array", "items": ref("Todo")},
                        "next": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    }
                },
                "Todo": {
                    "properties": {
                        "id": {},
                        "title": {},
                        "parent": {"anyOf": [ref("Todo"), {"type": "null"}]},
                    }
                },
                "TodoCreate": {
                    "properties": {"title": {}, "note": {}, "place": ref("Place")},
                    "required": ["title"],
                },
                "Place": {"properties": {"city": {}, "street": {}}, "required": ["city"]},
                "Problem": {"properties": {"detail": {}}},
            }
        },
    }


class Api(NamedTuple):
    """The two parts of a document that a test changes."""

    paths: Document
    schemas: Document


Change = Callable[[Api], object]


def changed(change: Change) -> Document:
    after = copy.deepcopy(document())
    change(Api(after["paths"], after["components"]["schemas"]))
    return after


def set_at(node: Document, *steps: Any) -> object:
    *path, last, value = steps
    for step in path:
        node = node[step]
    node[last] = value
    return node


def test_a_document_compared_with_itself_loses_nothing() -> None:
    assert missing(document(), document()) == []


LOSSES: dict[str, tuple[Change, list[str]]] = {
    "a path": (
        lambda api: api.paths.pop("/todos/{todo_id}"),
        ["DELETE /todos/{todo_id} is gone", "PATCH /todos/{todo_id} is gone"],
    ),
    "a method": (lambda api: api.paths["/todos"].pop("post"), ["POST /todos is gone"]),
    "a parameter": (
        lambda api: api.paths["/todos"]["get"]["parameters"].pop(0),
        ["GET /todos: the query parameter limit is gone"],
    ),
    "a parameter of the path item": (
        lambda api: api.paths["/todos/{todo_id}"].pop("parameters"),
        [
            "DELETE /todos/{todo_id}: the path parameter todo_id is gone",
            "PATCH /todos/{todo_id}: the path parameter todo_id is gone",
        ],
    ),
    "a parameter's place": (
        lambda api: set_at(api.paths, "/todos", "get", "parameters", 0, "in", "header"),
        ["GET /todos: the query parameter limit is gone"],
    ),
    "a parameter that was optional": (
        lambda api: set_at(api.paths, "/todos", "get", "parameters", 0, "required", True),
        ["GET /todos: the query parameter limit is required now"],
    ),
    "a call without a new parameter": (
        lambda api: api.paths["/todos"]["get"]["parameters"].append(
            {"name": "token", "in": "header", "required": True}
        ),
        ["GET /todos: the header parameter token is required now"],
    ),
    "a media type of the body": (
        lambda api: set_at(
            api.paths, "/todos", "post", "requestBody", "content", {"text/plain": {}}
        ),
        ["POST /todos: it takes no application/json body any more"],
    ),
    "a body that was optional": (
        lambda api: set_at(api.paths, "/todos/{todo_id}", "patch", "requestBody", "required", True),
        ["PATCH /todos/{todo_id}: the request body is required now"],
    ),
    "a call without a body": (
        lambda api: set_at(
            api.paths,
            "/todos/{todo_id}",
            "delete",
            "requestBody",
            {"required": True, "content": {}},
        ),
        ["DELETE /todos/{todo_id}: the request body is required now"],
    ),
    "a property of the body": (
        lambda api: set_at(
            api.paths,
            "/todos",
            "post",
            "requestBody",
            "content",
            "application/json",
            "schema",
            {"properties": {"title": {}, "place": ref("Place")}},
        ),
        ["POST /todos: the application/json body has no note any more"],
    ),
    "a property inside a property": (
        lambda api: api.schemas["Place"]["properties"].pop("street"),
        [
            "POST /todos: the application/json body has no place.street any more",
            "PATCH /todos/{todo_id}: the application/json body has no place.street any more",
        ],
    ),
    "a property that was optional": (
        lambda api: api.schemas["TodoCreate"]["required"].append("note"),
        [
            "POST /todos: the application/json body must have note now",
            "PATCH /todos/{todo_id}: the application/json body must have note now",
        ],
    ),
    "a call without a new property": (
        lambda api: api.schemas["TodoCreate"].update(
            properties=api.schemas["TodoCreate"]["properties"] | {"due": {}},
            required=["title", "due"],
        ),
        [
            "POST /todos: the application/json body must have due now",
            "PATCH /todos/{todo_id}: the application/json body must have due now",
        ],
    ),
    "a call without a new property of a known part": (
        lambda api: api.schemas["Place"].update(required=["city", "street"]),
        [
            "POST /todos: the application/json body must have place.street now",
            "PATCH /todos/{todo_id}: the application/json body must have place.street now",
        ],
    ),
    "a success status": (
        lambda api: set_at(
            api.paths,
            "/todos",
            "post",
            "responses",
            {"200": api.paths["/todos"]["post"]["responses"]["201"]},
        ),
        ["POST /todos: it does not answer 201 any more"],
    ),
    "a status without a body": (
        lambda api: api.paths["/todos/{todo_id}"]["delete"]["responses"].pop("204"),
        ["DELETE /todos/{todo_id}: it does not answer 204 any more"],
    ),
    "the answer's media type": (
        lambda api: set_at(
            api.paths, "/todos", "post", "responses", "201", "content", {"text/html": {}}
        ),
        ["POST /todos: its 201 answer is not application/json any more"],
    ),
    "a property of the answer": (
        lambda api: api.schemas["Page"]["properties"].pop("next"),
        ["GET /todos: its 200 answer has no next any more"],
    ),
    "a property of the answer's items": (
        lambda api: api.schemas.update(
            Page={
                "properties": {
                    "items": {"type": "array", "items": {"properties": {"id": {}}}},
                    "next": {},
                }
            }
        ),
        [
            "GET /todos: its 200 answer has no items[].parent any more",
            "GET /todos: its 200 answer has no items[].title any more",
        ],
    ),
    "an answer that was a list": (
        lambda api: api.schemas["Page"]["properties"].update(items={"properties": {}}),
        [
            f"GET /todos: its 200 answer has no items[]{name} any more"
            for name in ("", ".id", ".parent", ".title")
        ],
    ),
}


@pytest.mark.parametrize("what", LOSSES)
def test_a_loss_is_found(what: str) -> None:
    change, expected = LOSSES[what]

    assert missing(document(), changed(change)) == expected


GAINS: dict[str, Change] = {
    "an operation": lambda api: api.paths.update({"/auth/token": {"post": {"responses": {}}}}),
    "an optional parameter": lambda api: api.paths["/todos"]["get"]["parameters"].append(
        {"name": "after", "in": "query"}
    ),
    "a parameter that is not required any more": lambda api: set_at(
        api.paths, "/todos", "get", "parameters", 1, "required", False
    ),
    "an optional property of the body": lambda api: api.schemas["TodoCreate"]["properties"].update(
        due={}
    ),
    "a new optional part with required properties": lambda api: (
        api.schemas["TodoCreate"]["properties"].update(owner=ref("Owner")),
        api.schemas.update(Owner={"properties": {"name": {}}, "required": ["name"]}),
    ),
    "new optional items with required properties": lambda api: (
        api.schemas["TodoCreate"]["properties"].update(tags={"type": "array", "items": ref("Tag")}),
        api.schemas.update(Tag={"properties": {"name": {}}, "required": ["name"]}),
    ),
    "a property that is not required any more": lambda api: api.schemas["TodoCreate"].update(
        required=[]
    ),
    "a property of the answer": lambda api: api.schemas["Todo"]["properties"].update(done={}),
    "an error": lambda api: api.paths["/todos"]["get"]["responses"].update({"401": {}}),
    "one error less": lambda api: api.paths["/todos"]["get"]["responses"].pop("422"),
    "another media type": lambda api: api.paths["/todos"]["post"]["requestBody"]["content"].update(
        {"multipart/form-data": {}}
    ),
    "a schema by another name": lambda api: (
        api.schemas.update(TodoRead=api.schemas.pop("Todo")),
        api.schemas["TodoRead"]["properties"].update(parent={"oneOf": [ref("TodoRead")]}),
        api.schemas["Page"]["properties"]["items"].update(items={"allOf": [ref("TodoRead")]}),
        set_at(
            api.paths,
            "/todos",
            "post",
            "responses",
            "201",
            "content",
            "application/json",
            "schema",
            ref("TodoRead"),
        ),
        set_at(
            api.paths,
            "/todos/{todo_id}",
            "patch",
            "responses",
            "200",
            "content",
            "application/json",
            "schema",
            ref("TodoRead"),
        ),
    ),
}


@pytest.mark.parametrize("what", GAINS)
def test_a_gain_is_allowed(what: str) -> None:
    assert missing(document(), changed(GAINS[what])) == []


def test_a_property_is_required_only_if_every_variant_requires_it() -> None:
    def to_variants(api: Api) -> None:
        one = api.schemas["TodoCreate"] | {"required": ["title", "note"]}
        api.schemas["TodoCreate"] = {"anyOf": [one, api.schemas["TodoCreate"]]}

    assert missing(document(), changed(to_variants)) == []


APP = """
class App:
    def openapi(self):
        return {document!r}
app = App()
"""


@pytest.fixture
def apps(course: Course, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course whose four apps need nothing but this Python."""
    monkeypatch.setattr(openapi, "stage_python", lambda _: Path(sys.executable))
    for stage in (ONE, TWO, THREE, FOUR):
        course.write(f"{stage}/app/main.py", APP.format(document=document()))
    return course


@pytest.mark.requirement("D.3")
def test_stages_that_lose_nothing_pass(apps: Course, capsys: pytest.CaptureFixture[str]) -> None:
    apps.write(f"{ONE}/app/main.py", "print('hello')\n" + apps.read(f"{ONE}/app/main.py"))

    assert run(openapi.main, [], apps.root) == 0

    assert capsys.readouterr().out == (
        "OpenAPI: 4 stages, nothing lost; the last one has 4 operations.\n"
    )
    assert not list(apps.root.rglob("__pycache__"))


@pytest.mark.requirement("D.3")
def test_a_loss_names_both_stages(apps: Course, capsys: pytest.CaptureFixture[str]) -> None:
    lost = changed(lambda api: api.paths["/todos"].pop("post"))
    for stage in (THREE, FOUR):
        apps.write(f"{stage}/app/main.py", APP.format(document=lost))

    assert run(openapi.main, [], apps.root) == 1

    assert capsys.readouterr().out == f"{THREE} against {TWO}: POST /todos is gone\n"


def test_an_app_that_cannot_be_imported_is_one_line(
    apps: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    apps.write(f"{TWO}/app/main.py", "import no_such_module\n")

    assert run(openapi.main, [], apps.root) == 1

    assert capsys.readouterr().out == (
        f"{TWO}: app.main has no OpenAPI document: ModuleNotFoundError: No module named"
        " 'no_such_module'\n"
    )


def test_an_app_that_ends_the_process_is_named_with_its_last_output(
    apps: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "import os; print('this is the end', flush=True); os._exit(3)\n"
    apps.write(f"{TWO}/app/main.py", words)

    assert run(openapi.main, [], apps.root) == 1

    assert capsys.readouterr().out == (
        f"{TWO}: app.main has no OpenAPI document: exit status 3: this is the end\n"
    )


def test_an_app_that_never_ends_is_named(
    apps: Course, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openapi, "DEADLINE_SECONDS", 1.0)
    apps.write(f"{THREE}/app/main.py", "import time; time.sleep(60)\n")

    assert run(openapi.main, [], apps.root) == 1

    assert f"{THREE}: app.main has no OpenAPI document: importing" in capsys.readouterr().out


def test_no_module_of_one_app_is_left_for_the_next(
    apps: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    apps.write(f"{ONE}/app/todos/only_here.py", "")
    source = "import app.todos.only_here\n" + apps.read(f"{ONE}/app/main.py")
    for stage in (ONE, TWO):
        apps.write(f"{stage}/app/main.py", source)

    assert run(openapi.main, [], apps.root) == 1

    assert capsys.readouterr().out == (
        f"{TWO}: app.main has no OpenAPI document: ModuleNotFoundError: No module named"
        " 'app.todos.only_here'\n"
    )
