"""What holds everywhere: paths, methods, errors in JSON, and the API's own description."""

import pytest

from tests.harness.driver import Api
from tests.harness.server import AttachedServer, Server

OPERATIONS = {"/todos": {"get", "post"}, "/todos/{}": {"get", "put", "patch", "delete"}}


def test_an_unknown_path_is_404_in_json(api: Api) -> None:
    answer = api.request("GET", "/no/such/path")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/todos"), ("PATCH", "/todos"), ("DELETE", "/todos"), ("POST", "/todos/1")],
)
def test_a_wrong_method_is_405_and_says_which_are_right(api: Api, method: str, path: str) -> None:
    answer = api.request(method, path, json={"title": "t"})
    assert answer.status_code == 405
    assert isinstance(answer.json()["detail"], str)
    allowed = {allowed.strip() for allowed in answer.headers["allow"].split(",")}
    assert allowed & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert method not in allowed


def test_a_slash_at_the_end_keeps_the_method_and_the_body(api: Api) -> None:
    answer = api.request("POST", "/todos/", json={"title": "with a slash"}, follow_redirects=True)
    assert (answer.status_code, answer.json().get("title")) == (201, "with a slash")
    listed = api.request("GET", "/todos/", params={"limit": 1}, follow_redirects=True)
    assert listed.json() == api.list_todos(limit=1)


def test_the_api_describes_its_operations(api: Api, server: Server) -> None:
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


def test_the_docs_page_is_served(api: Api, server: Server) -> None:
    answer = api.request("GET", "/docs")
    if answer.status_code == 404 and isinstance(server, AttachedServer):
        pytest.skip("not checked: this server has no docs page")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
