"""Requirements 3.2 and 3.4: the OpenAPI description of security, and "Authorize" in `/docs`.

FastAPI's docs page loads Swagger UI from a content delivery network. Tests must not need one, so
the browser gets Swagger UI from a package of the test environment (`swagger-ui-bundle-v2`). The
page, the description and the answers come from the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from course.harness.driver import Api
from course.harness.server import AttachedServer
from tests.stage03.accounts import PASSWORD, new_account

pytest_plugins = ["course.harness.browser.plugin"]

pytestmark = pytest.mark.craft

(PROGRAM,) = Path(str(files("swagger_ui_bundle"))).rglob("swagger-ui-bundle.js")
SLOWEST = 30_000  # milliseconds
PROTECTED = [
    ("get", "/users/me"),
    ("get", "/todos"),
    ("post", "/todos"),
    ("get", "/todos/{todo_id}"),
    ("put", "/todos/{todo_id}"),
    ("patch", "/todos/{todo_id}"),
    ("delete", "/todos/{todo_id}"),
]
OPEN = [("post", "/auth/register"), ("post", "/auth/token")]


@pytest.fixture
def openapi(visitor: Api) -> dict[str, Any]:
    """Return the OpenAPI description of the API."""
    answer = visitor.request("GET", "/openapi.json")
    if answer.status_code == 404 and isinstance(visitor.server, AttachedServer):
        pytest.skip("not checked: this server does not publish OpenAPI")
    description: dict[str, Any] = answer.json()
    return description


@pytest.fixture
def password_scheme(openapi: dict[str, Any]) -> tuple[str, str]:
    """Return the name of the scheme with OAuth2's password flow, and the URL of its token."""
    schemes = openapi["components"]["securitySchemes"]
    ((name, address),) = [
        (name, scheme["flows"]["password"]["tokenUrl"])
        for name, scheme in schemes.items()
        if scheme["type"] == "oauth2" and "password" in scheme["flows"]
    ]
    return name, address


def operation(openapi: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Return the description of an operation. Names of path parameters are left out."""
    start = path.partition("{")[0]
    found: dict[str, Any] = next(
        operations[method]
        for described, operations in openapi["paths"].items()
        if described.partition("{")[0] == start
        and described.count("{") == path.count("{")
        and described.endswith("}") == path.endswith("}")
        and method in operations
    )
    return found


@pytest.mark.requirement("3.4", "3.7")
@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_a_protected_operation_declares_its_security_scheme(
    openapi: dict[str, Any], password_scheme: tuple[str, str], method: str, path: str
) -> None:
    requirements = operation(openapi, method, path)["security"]
    assert password_scheme[0] in {name for requirement in requirements for name in requirement}


@pytest.mark.requirement("3.2")
@pytest.mark.parametrize(("method", "path"), OPEN)
def test_a_public_operation_declares_no_security_scheme(
    openapi: dict[str, Any], method: str, path: str
) -> None:
    assert not operation(openapi, method, path).get("security")


@pytest.mark.requirement("3.2")
@pytest.mark.contract("U11")
def test_the_token_url_of_the_description_returns_a_token(
    visitor: Api, password_scheme: tuple[str, str]
) -> None:
    """The "Authorize" button sends an empty client; a script sends none."""
    address = urljoin(f"{visitor.base_url}/docs", password_scheme[1])
    form = {"grant_type": "password", "username": new_account(visitor), "password": PASSWORD}
    headers = {"Authorization": "Basic Og==", "X-Requested-With": "XMLHttpRequest"}
    answer = visitor.request("POST", address, data=form, headers=headers)
    assert answer.status_code == 200
    me = visitor.with_token(answer.json()["access_token"]).request("GET", "/users/me")
    assert me.json()["username"] == form["username"]


def serve_swagger_ui(route: Route) -> None:
    """Answer a browser's request with the file of the same name from the package."""
    file = PROGRAM.with_name(Path(urlsplit(route.request.url).path).name)
    if file.is_file():
        route.fulfill(path=file)
    else:
        route.fulfill(status=404)


@pytest.fixture
def docs_page(browser_context: BrowserContext, visitor: Api) -> Iterator[Page]:
    """Return the docs page, loaded."""
    answer = visitor.request("GET", "/docs")
    if answer.status_code == 404 and isinstance(visitor.server, AttachedServer):
        pytest.skip("not checked: this server has no docs page")
    page = browser_context.new_page()
    page.route(lambda url: not url.startswith(visitor.base_url), serve_swagger_ui)
    page.goto(f"{visitor.base_url}/docs", timeout=SLOWEST)
    # A megabyte of JavaScript draws the page, which takes a while on a busy machine.
    page.get_by_role("button", name="Authorize").wait_for(timeout=SLOWEST)
    yield page
    page.close()


@pytest.mark.requirement("3.2")
def test_the_authorize_button_signs_in(docs_page: Page, visitor: Api) -> None:
    username = new_account(visitor)
    docs_page.get_by_role("button", name="Authorize").click()
    dialog = docs_page.locator(".modal-ux")
    dialog.get_by_label("username").fill(username)
    dialog.get_by_label("password").fill(PASSWORD)
    dialog.get_by_role("button", name="Apply credentials").or_(
        dialog.locator("button.authorize")
    ).first.click()
    expect(dialog.get_by_text("Authorized", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Close").last.click()

    operation = docs_page.locator(".opblock").filter(has_text="/users/me").first
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    with docs_page.expect_response("**/users/me") as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    assert json.loads(answered.value.body())["username"] == username
