"""Rules for all routes: paths, methods, errors in JSON, and the OpenAPI description."""

import httpx
import pytest

from course.harness.driver import Api
from course.harness.raw_http import send_raw
from course.harness.server import AttachedServer, Server

pytestmark = pytest.mark.craft

OPERATIONS = {"/todos": {"get", "post"}, "/todos/{}": {"get", "put", "patch", "delete"}}


@pytest.mark.requirement("1.2")
@pytest.mark.contract("E5")
def test_an_unknown_path_gets_404_in_json(api: Api) -> None:
    answer = api.request("GET", "/no/such/path")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.requirement("1.5")
@pytest.mark.contract("E11", "E5")
@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/todos"), ("PATCH", "/todos"), ("DELETE", "/todos"), ("POST", "/todos/1")],
)
def test_a_wrong_method_gets_405_with_an_allow_header(api: Api, method: str, path: str) -> None:
    answer = api.request(method, path, json={"title": "t"})
    assert answer.status_code == 405
    assert isinstance(answer.json()["detail"], str)
    allowed = {allowed.strip() for allowed in answer.headers["allow"].split(",")}
    assert allowed & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert method not in allowed


def allowed(answer: httpx.Response) -> set[str]:
    """Return the methods that an answer names in `Allow`."""
    return {method.strip() for method in answer.headers["allow"].split(",")}


@pytest.mark.requirement("1.5")
@pytest.mark.craft("E12")
@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("PATCH", "/todos", {"GET", "HEAD", "POST"}),
        ("POST", "/todos/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
    ],
)
def test_the_allow_header_names_every_method_of_the_path(
    api: Api, method: str, path: str, methods: set[str]
) -> None:
    assert allowed(api.request(method, path)) == methods


@pytest.mark.requirement("1.2")
@pytest.mark.craft("E13")
def test_head_answers_like_get_without_a_body(api: Api) -> None:
    path = f"/todos/{api.create_todo()['id']}"
    for existing in ("/todos", path, "/openapi.json"):
        get, head = api.request("GET", existing), api.request("HEAD", existing)
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("content-type", "content-length", "etag"):
            assert head.headers.get(name) == get.headers.get(name)
    assert api.request("HEAD", "/no/such/path").status_code == 404
    assert api.request("HEAD", path + "0000000").status_code == 404


@pytest.mark.requirement("1.3")
@pytest.mark.craft("E14")
@pytest.mark.parametrize("path", ["/todos/", "/todos/?limit=1&offset=0", "/todos/1/"])
def test_a_path_with_a_trailing_slash_redirects_to_the_same_host(api: Api, path: str) -> None:
    authorization = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    headers = {"Host": "elsewhere.example", "X-Forwarded-Host": "elsewhere.example"}
    answer = send_raw(api.server, "GET", path, [], headers=headers | authorization)
    assert answer.status == 307
    leads_to = answer.headers["location"].removeprefix(api.base_url)
    assert leads_to == path.replace("/?", "?").removesuffix("/")


@pytest.mark.requirement("1.3")
@pytest.mark.craft("E14")
def test_a_trailing_slash_redirect_keeps_the_method_and_the_body(api: Api) -> None:
    answer = api.request("POST", "/todos/", json={"title": "with a slash"}, follow_redirects=True)
    assert (answer.status_code, answer.json().get("title")) == (201, "with a slash")
    listed = api.request("GET", "/todos/", params={"limit": 1}, follow_redirects=True)
    assert listed.json() == api.list_todos(limit=1)


@pytest.mark.requirement("D.2")
def test_the_openapi_description_lists_every_operation(api: Api, server: Server) -> None:
    answer = api.request("GET", "/openapi.json")
    if answer.status_code == 404 and isinstance(server, AttachedServer):
        pytest.skip("not checked: this server does not publish OpenAPI")
    described = {
        path.partition("{")[0] + ("{}" if "{" in path else ""): operations
        for path, operations in answer.json()["paths"].items()
    }
    for path, methods in OPERATIONS.items():
        assert methods <= set(described[path])
        for method in methods:
            assert described[path][method]["operationId"]
            assert described[path][method]["summary"]


@pytest.mark.requirement("D.2")
def test_the_docs_page_is_served(api: Api, server: Server) -> None:
    answer = api.request("GET", "/docs")
    if answer.status_code == 404 and isinstance(server, AttachedServer):
        pytest.skip("not checked: this server has no docs page")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
