"""The OpenAPI description names each error of each route, and its examples are valid.

The course sets the form of the description, so these tests are advice and give no points.

The table of errors is the contract's, stage by stage.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from course.harness.driver import Api
from course.harness.server import AttachedServer
from tests.stage01.description import resolved

pytestmark = pytest.mark.craft

CAPSTONE = 9
ITEM = "/todos/{}"
UNKNOWN_UUID = "00000000-0000-4000-8000-000000000000"
UNKNOWN_NUMBER = 2**62
TOO_LARGE = 1024 * 1024 + 1  # bytes: one over the limit of a body
TOO_LARGE_FILE = 5 * TOO_LARGE

# The errors of each operation, by the stage that first has it.
ERRORS: dict[tuple[str, str], dict[int, set[int]]] = {
    ("get", "/todos"): {1: {422}, 3: {401}},
    ("post", "/todos"): {1: {413, 422}, 3: {401}, CAPSTONE: {409}},
    ("get", ITEM): {1: {404, 422}, 3: {401}},
    ("put", ITEM): {1: {404, 413, 422}, 3: {401}, CAPSTONE: {412}},
    ("patch", ITEM): {1: {404, 413, 422}, 3: {401}, CAPSTONE: {412}},
    ("delete", ITEM): {1: {404, 422}, 3: {401}, CAPSTONE: {412}},
    ("post", "/auth/register"): {3: {409, 413, 422, 429}},
    ("post", "/auth/token"): {3: {401, 413, 422, 429}},
    ("get", "/users/me"): {3: {401}},
    ("post", "/auth/refresh"): {CAPSTONE: {401, 413, 422, 429}},
    ("post", "/auth/logout"): {CAPSTONE: {413, 422}},
    ("post", "/images"): {4: {401, 409, 413, 415, 422}},
    ("get", "/images"): {4: {401, 422}},
    ("get", "/images/{}"): {4: {401, 404, 422}},
    ("get", "/images/{}/file"): {4: {404, 416, 422}},
    ("delete", "/images/{}"): {4: {401, 404, 422}, CAPSTONE: {412}},
    ("post", "/jobs"): {5: {401, 413, 422, 429}},
    ("post", "/jobs/file"): {5: {401, 413, 415, 422, 429}},
    ("get", "/jobs"): {5: {401, 422}},
    ("get", "/jobs/{}"): {5: {401, 404, 422}},
    ("get", "/jobs/{}/report"): {5: {401, 404, 409, 422}},
    ("get", "/jobs/{}/events"): {8: {401, 404, 422, 429}},
    ("delete", "/jobs/{}"): {5: {401, 404, 409, 422}, CAPSTONE: {412}},
    ("get", "/weather"): {6: {404, 422, 502, 503, 504}, CAPSTONE: {429}},
    ("get", "/posts"): {7: {401, 403, 422}},
    ("post", "/posts"): {7: {401, 403, 413, 422}, CAPSTONE: {409}},
    ("get", "/posts/{}"): {7: {401, 403, 404, 422}},
    ("patch", "/posts/{}"): {7: {401, 403, 404, 413, 422}, CAPSTONE: {412}},
    ("delete", "/posts/{}"): {7: {401, 403, 404, 422}, CAPSTONE: {412}},
    ("post", "/posts/{}/restore"): {7: {401, 403, 404, 422}},
    ("get", "/posts/{}/comments"): {7: {404, 422}},
    ("post", "/posts/{}/comments"): {7: {401, 404, 413, 422}, CAPSTONE: {409}},
    ("patch", "/comments/{}"): {7: {401, 403, 404, 413, 422}},
    ("delete", "/comments/{}"): {7: {401, 403, 404, 422}},
    ("post", "/comments/{}/restore"): {7: {401, 403, 404, 422}},
    ("get", "/users"): {7: {401, 403, 422}},
    ("put", "/users/{}/role"): {7: {401, 403, 404, 409, 413, 422}},
    ("get", "/chat/messages"): {8: {401, 422}},
    ("get", "/health/live"): {CAPSTONE: set()},
    ("get", "/health/ready"): {CAPSTONE: {503}},
}

Json = dict[str, Any]


@pytest.fixture
def description(api: Api) -> Json:
    """Return the OpenAPI description of the API."""
    answer = api.request("GET", "/openapi.json")
    if answer.status_code == 404 and isinstance(api.server, AttachedServer):
        pytest.skip("not checked: this server does not publish OpenAPI")
    found: Json = answer.json()
    return found


def operations(description: Json) -> dict[tuple[str, str], Json]:
    """Return each operation by its method and its path. Names of path parameters are left out."""
    return {
        (method, re.sub(r"{\w+}", "{}", path)): operation
        for path, item in description["paths"].items()
        for method, operation in item.items()
    }


def documented(operation: Json) -> set[int]:
    """Return the error statuses that the operation documents."""
    statuses = {int(status) for status in operation["responses"] if status.isdigit()}
    return {status for status in statuses if status >= 400}


def expected(stage: int) -> dict[tuple[str, str], set[int]]:
    """Return the operations of a stage, each with the error statuses that it may answer."""
    return {
        name: set().union(*(errors for since, errors in by_stage.items() if since <= stage))
        for name, by_stage in ERRORS.items()
        if min(by_stage) <= stage
    }


@pytest.mark.requirement("D.2")
def test_each_operation_documents_its_errors(description: Json, stage: int) -> None:
    described = operations(description)
    assert set(expected(stage)) <= set(described)
    missing = {
        name: errors - documented(described[name])
        for name, errors in expected(stage).items()
        if not errors <= documented(described[name])
    }
    assert missing == {}


@pytest.mark.requirement("D.2")
def test_each_documented_error_is_json_with_a_detail(description: Json) -> None:
    for name, operation in operations(description).items():
        for status in documented(operation) - {422}:
            if (name, status) == (("get", "/health/ready"), 503):
                continue  # the body is a health report, not an error
            response = resolved(description, operation["responses"][str(status)])
            ((media_type, content),) = response["content"].items()
            assert media_type in ("application/json", "application/problem+json"), name
            schema = resolved(description, content["schema"])
            assert schema["properties"]["detail"] == {"type": "string"}, name


def a_file(content: bytes, content_type: str) -> Json:
    """Return a form with a file in it, for a request."""
    head = '--frame\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    head += f"Content-Type: {content_type}\r\n\r\n"
    return {
        "content": head.encode() + content + b"\r\n--frame--\r\n",
        "headers": {"Content-Type": "multipart/form-data; boundary=frame"},
    }


# Requests that fail, by the first stage that has the operation.
REFUSED: dict[int, list[tuple[str, str, int, Json]]] = {
    1: [
        ("get", ITEM, 404, {}),
        ("delete", ITEM, 404, {}),
        ("put", ITEM, 404, {"json": {"title": "t"}}),
        ("get", "/todos", 422, {"params": {"limit": "many"}}),
        ("post", "/todos", 422, {"json": {}}),
        ("post", "/todos", 413, {"content": bytes(TOO_LARGE)}),
    ],
    3: [
        ("post", "/auth/token", 401, {"data": {"username": "nobody", "password": "no password"}}),
        ("post", "/auth/register", 422, {"json": {"username": "?", "password": "short"}}),
    ],
    4: [
        ("get", "/images/{}", 404, {}),
        ("get", "/images/{}/file", 404, {}),
        ("post", "/images", 415, a_file(b"GIF89a", "image/gif")),
        ("post", "/images", 413, a_file(bytes(TOO_LARGE_FILE), "image/png")),
    ],
    5: [
        ("post", "/jobs", 413, {"content": bytes(TOO_LARGE)}),
        ("post", "/jobs/file", 415, a_file(b"\xff", "text/plain")),
        ("get", "/jobs/{}/report", 404, {}),
    ],
    6: [("get", "/weather", 422, {"params": {"city": " "}})],
    7: [
        ("post", "/posts", 403, {"json": {"title": "t", "body": "b"}}),
        ("get", "/posts/{}/comments", 404, {}),
        ("get", "/users", 403, {}),
    ],
}
# These operations need no token.
OPEN = {("get", "/posts"), ("get", "/posts/{}"), ("post", "/auth/token"), ("post", "/auth/refresh")}


def with_unknown_id(path: str) -> str:
    """Return the path with an id that no row has."""
    return path.format(UNKNOWN_UUID if path.startswith(("/images", "/jobs")) else UNKNOWN_NUMBER)


@pytest.mark.requirement("D.2")
def test_each_provoked_error_is_documented_by_its_operation(
    api: Api, description: Json, stage: int
) -> None:
    described = operations(description)
    refused = [request for since, some in REFUSED.items() if since <= stage for request in some]
    for method, path, status, sent in refused:
        answer = api.request(method.upper(), with_unknown_id(path), **sent)
        assert answer.status_code == status, (method, path, answer.text)
        assert status in documented(described[method, path]), (method, path)


@pytest.mark.requirement("D.2")
def test_only_operations_that_need_a_token_document_401(api: Api, description: Json) -> None:
    stranger = api.with_token(None)
    for (method, path), operation in operations(description).items():
        if (method, path) not in OPEN:
            answer = stranger.request(method.upper(), with_unknown_id(path))
            assert (answer.status_code == 401) == (401 in documented(operation)), (method, path)


def properties(schema: Json, schemas: Json) -> Iterator[tuple[str, Json]]:
    """Yield each property of a request body, and of each variant if the body is a union."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for name, value in schema.get("properties", {}).items():
        yield from ((name, variant) for variant in value.get("anyOf", [value]))


def is_bounded(schema: Json) -> bool:
    """Return whether a text is limited in its form or length."""
    return bool({"pattern", "minLength", "maxLength"} & schema.keys())


@pytest.mark.requirement("D.2")
def test_each_restricted_text_field_has_a_valid_example(description: Json) -> None:
    schemas = description["components"]["schemas"]
    found = 0
    for name, operation in operations(description).items():
        bodies = operation.get("requestBody", {}).get("content", {})
        texts = [
            (field, schema)
            for media_type, body in bodies.items()
            if media_type == "application/json"
            for field, schema in properties(body["schema"], schemas)
        ]
        texts += [
            (parameter["name"], parameter["schema"])
            for parameter in operation.get("parameters", [])
            if parameter["required"]
        ]
        for field, schema in texts:
            if is_bounded(schema):
                found += 1
                (example,) = schema["examples"]
                assert re.search(schema.get("pattern", ""), example), (name, field)
                assert len(example) >= schema.get("minLength", 0), (name, field)
                assert len(example) <= schema.get("maxLength", len(example)), (name, field)
    assert found >= 6  # title and description, in three operations


@pytest.mark.requirement("D.2")
def test_the_description_has_a_title_a_text_and_a_version(description: Json) -> None:
    info = description["info"]
    assert info["title"] not in ("", "FastAPI")
    assert info["description"]
    assert info["version"] != "0.1.0"  # FastAPI's default
