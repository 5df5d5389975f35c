"""Requirements C.1 and C.6: every error is a problem document (RFC 9457) with a request id."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.postgres import Postgres, create_database
from course.harness.problems import PROBLEM, field_errors, reason
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage01.description import resolved
from tests.stage08.chat import open_socket

pytestmark = pytest.mark.craft

ID = "X-Request-ID"
NEW_ID = re.compile(r"[A-Za-z0-9._-]{16,128}")
LARGE = b"x" * (1024 * 1024 + 1)

# Requests that fail, with the status of the answer.
ERRORS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "an unknown route": ("GET", "/nowhere", {}, 404),
    "an unknown todo": ("GET", "/todos/987654321", {}, 404),
    "a wrong method": ("PATCH", "/todos", {}, 405),
    "an unknown method": ("BREW", "/todos", {}, 405),
    "wrong fields": ("POST", "/todos", {"json": {"title": 1}}, 422),
    "not a number": ("POST", "/todos", {"content": b'{"title": NaN}'}, 422),
    "not JSON": ("POST", "/todos", {"content": b"{"}, 422),
    "a body too large": ("POST", "/todos", {"content": LARGE}, 413),
    "a body too large, in chunks": ("POST", "/todos", {"content": iter([LARGE])}, 413),
    "a missing role": ("POST", "/posts", {"json": {"title": "t", "body": "b"}}, 403),
    "a wrong type": ("POST", "/images", {"files": True}, 415),
}


def ask(api: Api, name: str) -> httpx.Response:
    """Send one of the requests that fail."""
    method, path, options, _ = ERRORS[name]
    if "files" in options:
        boundary = secrets.token_hex(8)
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        body = f"{part}Content-Type: text/plain\r\n\r\nno picture\r\n--{boundary}--\r\n"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return api.request(method, path, content=body.encode(), headers=headers)
    if not isinstance(options.get("content"), bytes | None):
        options = {"content": iter([LARGE])}
    return api.request(method, path, **options)


@pytest.mark.requirement("C.1")
@pytest.mark.contract("E10")
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_a_problem_document(api: Api, name: str) -> None:
    answer = ask(api, name)
    assert answer.status_code == ERRORS[name][3]
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert problem["request_id"] == answer.headers[ID]
    assert ("errors" in problem) == (answer.status_code == 422)


@pytest.mark.requirement("C.1")
@pytest.mark.contract("E10")
def test_a_422_names_each_invalid_field(api: Api) -> None:
    answer = api.request("POST", "/todos", json={"title": 1, "completed": "no idea"})
    assert {error["loc"][-1] for error in field_errors(answer)} == {"title", "completed"}
    assert "title" in reason(answer)
    assert "completed" in reason(answer)


@pytest.mark.requirement("C.1")
def test_openapi_describes_the_form_of_errors(api: Api) -> None:
    description = api.request("GET", "/openapi.json").json()
    error = api.request("GET", "/todos", params={"limit": "many"}).json()
    paths = description["paths"]
    report = paths["/health/ready"]["get"]["responses"]["503"]  # a health report, not an error
    for operation in (each for path in paths.values() for each in path.values()):
        assert {"422", "default"} <= operation["responses"].keys()
        for status, response in operation["responses"].items():
            if status[0] in "45d" and response is not report:
                content = resolved(description, response)["content"]
                described = resolved(description, content[PROBLEM]["schema"])
                assert set(described["required"]) < set(described["properties"]) == set(error)


@pytest.mark.requirement("C.1")
def test_openapi_describes_an_error_once(api: Api) -> None:
    """A copy for each error of each operation would double the document."""
    document = api.request("GET", "/openapi.json").text
    assert document.count(PROBLEM) == 1


@pytest.mark.requirement("C.1")
def test_errors_keep_their_own_headers(visitor: Api) -> None:
    refused = visitor.request("GET", "/todos")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.headers["content-type"] == PROBLEM
    assert visitor.request("PATCH", "/todos").headers["allow"]


@pytest.mark.requirement("C.1")
@pytest.mark.contract("O4")
@pytest.mark.parametrize("given", ["a", "A-1_b.C", "x" * 128])
def test_a_valid_request_id_is_kept(visitor: Api, given: str) -> None:
    for path in ("/health/live", "/nowhere", "/todos", "/todos/1/", "/metrics", "/docs"):
        answer = visitor.request("GET", path, headers={ID: given})
        assert answer.headers[ID] == given, path
    assert visitor.request("GET", "/todos", headers={ID: given}).json()["request_id"] == given


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", 'a"b', "ä".encode().decode()])
def test_an_invalid_request_id_is_replaced(visitor: Api, given: str) -> None:
    answer = visitor.client.get(
        f"{visitor.base_url}/health/live", headers=[(ID.encode(), given.encode())]
    )
    assert NEW_ID.fullmatch(answer.headers[ID])
    assert answer.headers[ID] != given


@pytest.mark.requirement("C.1")
@pytest.mark.contract("O4")
@pytest.mark.parametrize("name", ERRORS)
def test_every_answer_has_its_own_request_id(api: Api, name: str) -> None:
    ids = [ask(api, name).headers.get_list(ID) for _ in range(2)]
    assert [len(of_one) for of_one in ids] == [1, 1]
    assert ids[0] != ids[1]


@pytest.mark.requirement("C.1")
def test_a_socket_has_a_request_id(api: Api) -> None:
    with open_socket(api, header=f"Bearer {api.token}") as socket:
        assert socket.response is not None
        assert NEW_ID.fullmatch(socket.response.headers[ID])


@pytest.fixture(scope="module")
def broken(launch_for_module: Launch) -> Iterator[tuple[LaunchedServer, Api]]:
    """Return a server with a row that its code cannot read, and the owner of that row."""
    server = launch_for_module(LOG_FORMAT="json")
    with Api(server) as visitor:
        api = visitor.as_new_user()
        title = f"secret {secrets.token_hex(8)}"
        todo = api.create_todo(title)
        server.database.execute(
            "UPDATE todos SET completed = 7, created_at = 'long ago' WHERE id = ?", todo["id"]
        )
        yield server, api


@pytest.mark.requirement("C.1")
@pytest.mark.deployment("plain")
def test_an_unexpected_exception_gets_500_without_details(
    broken: tuple[LaunchedServer, Api],
) -> None:
    server, api = broken
    mark = server.log_mark()
    answer = api.request("GET", "/todos?limit=7")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["request_id"] == answer.headers[ID]
    for leak in ("long ago", "ValueError", "sqlalchemy", "/app/", "SELECT"):
        assert leak not in answer.text
    eventually(lambda: '"status":500' in server.log_since(mark).replace(" ", ""))
    logged = [json.loads(line) for line in server.log_since(mark).splitlines()]
    faults = [line for line in logged if "exception" in line]
    assert len(faults) == 1
    assert faults[0]["request_id"] == answer.headers[ID]
    assert "Traceback (most recent call last)" in faults[0]["exception"]
    access = [line for line in logged if line["logger"] == "app.access"]
    assert ("/todos", 500) in [(line["route"], line["status"]) for line in access]


@pytest.fixture(scope="module")
def impatient(
    launch_for_module: Launch, own_postgres: Postgres
) -> Iterator[tuple[LaunchedServer, Api, str]]:
    """Return a server on PostgreSQL with very short timeouts, a user, and the database."""
    url = create_database(own_postgres.url)
    server = launch_for_module(DATABASE_URL=url, DATABASE_STATEMENT_TIMEOUT="0.5")
    with Api(server) as visitor:
        yield server, visitor.as_new_user(), url.replace("+asyncpg", "")


def assert_try_again(answer: httpx.Response) -> None:
    """Check for a 503 that asks the client to try again."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "try again" in reason(answer)


@pytest.mark.requirement("C.1")
def test_a_statement_that_takes_too_long_gets_503(
    impatient: tuple[LaunchedServer, Api, str],
) -> None:
    _, api, url = impatient
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE todos IN ACCESS EXCLUSIVE MODE")
        assert_try_again(api.request("POST", "/todos", json={"title": "waits"}))
    assert api.create_todo()["id"]


@pytest.mark.requirement("C.1")
def test_a_missing_table_gets_500(
    impatient: tuple[LaunchedServer, Api, str],
) -> None:
    _, api, url = impatient
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE messages RENAME TO gone")
        answer = api.request("GET", "/chat/messages")
        other.execute("ALTER TABLE gone RENAME TO messages")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert "gone" not in answer.text
    assert "messages" not in answer.text
    assert api.request("GET", "/chat/messages").status_code == 200


@pytest.mark.requirement("C.1")
def test_a_missing_database_gets_503_until_it_returns(
    impatient: tuple[LaunchedServer, Api, str], own_postgres: Postgres
) -> None:
    server, api, _ = impatient
    mark = server.log_mark()
    own_postgres.stop()
    try:
        assert_try_again(api.request("POST", "/todos", json={"title": "nobody listens"}))
        assert_try_again(api.request("GET", "/posts?limit=3"))
    finally:
        own_postgres.start()
    assert api.create_todo()["id"]
    assert "Traceback" not in server.log_since(mark)
