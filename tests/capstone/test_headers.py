"""Requirement C.1: security headers, CORS, and the switch for the docs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch

pytestmark = pytest.mark.craft

ORIGIN = "https://www.example.org"
ANOTHER = "http://localhost:5173"
FOREIGN = "https://evil.example"

# Requests for each kind of answer.
REQUESTS: dict[str, tuple[str, str]] = {
    "a page": ("GET", "/chat"),
    "another page": ("GET", "/gallery"),
    "the docs": ("GET", "/docs"),
    "a list": ("GET", "/posts"),
    "an error": ("GET", "/todos"),
    "an unknown path": ("GET", "/nothing/there"),
    "another method": ("DELETE", "/chat"),
    "invalid input": ("POST", "/auth/register"),
    "a redirect": ("GET", "/todos/"),
}
DOCS = (
    "/docs",
    "/docs/docs.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/redoc.standalone.js",
    "/redoc",
    "/openapi.json",
)


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("what", REQUESTS)
def test_every_answer_has_the_security_headers(visitor: Api, what: str) -> None:
    headers = visitor.request(*REQUESTS[what]).headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    (policy,) = headers.get_list("content-security-policy")
    assert "frame-ancestors 'none'" in policy
    assert "permissions-policy" in headers


@pytest.mark.requirement("C.1")
def test_a_413_has_the_security_headers(visitor: Api) -> None:
    answer = visitor.request("POST", "/auth/register", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("path", ["/", "/chat", "/gallery", "/docs", "/redoc"])
def test_a_page_keeps_its_own_stricter_policy(visitor: Api, path: str) -> None:
    (policy,) = visitor.request("GET", path).headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy


@pytest.mark.requirement("C.1")
def test_hsts_is_sent_only_in_production_over_https(
    launch: Launch, visitor: Api, stage_directory: Path
) -> None:
    https = {"X-Forwarded-Proto": "https"}
    assert "strict-transport-security" not in visitor.request("GET", "/", headers=https).headers
    server = launch(start=False, ENVIRONMENT="production")
    migrated = server.run("alembic", "upgrade", "head", cwd=stage_directory)
    assert migrated.returncode == 0, migrated.stdout
    server.start()
    with Api(server) as api:
        assert "strict-transport-security" not in api.request("GET", "/posts").headers
        demand = api.request("GET", "/posts", headers=https).headers["strict-transport-security"]
        assert "max-age=31536000" in demand


# --- Other origins


@pytest.fixture(scope="module")
def shared(launch_for_module: Launch) -> Iterator[Api]:
    """Return a visitor of a server that allows pages of two other origins."""
    with Api(launch_for_module(CORS_ORIGINS=f"{ORIGIN}, {ANOTHER}")) as api:
        yield api


def preflight(origin: str, method: str = "PATCH", headers: str = "authorization") -> dict[str, str]:
    """Return the headers of the preflight request for such a page."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("origin", [ORIGIN, ANOTHER])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_page_from_an_allowed_origin_may_send_requests(
    shared: Api, origin: str, method: str
) -> None:
    wanted = preflight(origin, method, "authorization, content-type, idempotency-key, x-request-id")
    answer = shared.request("OPTIONS", "/todos/1", headers=wanted)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type"} <= set(allowed.replace(",", " ").split())


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize("what", REQUESTS)
def test_a_page_from_an_allowed_origin_may_read_every_answer(shared: Api, what: str) -> None:
    headers = shared.request(*REQUESTS[what], headers={"Origin": ORIGIN}).headers
    assert headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in headers["vary"].lower()
    exposed = headers["access-control-expose-headers"].lower().replace(",", " ").split()
    assert {"x-request-id", "etag", "x-cache", "location", "retry-after"} <= set(exposed)
    assert "access-control-allow-credentials" not in headers


@pytest.mark.requirement("C.1")
@pytest.mark.parametrize(
    "origin",
    [FOREIGN, "null", f"{ORIGIN}.evil.example", f"{ORIGIN}:8443", "http://www.example.org"],
)
def test_a_page_from_another_origin_gets_no_cors_headers(shared: Api, origin: str) -> None:
    for method, headers in (("OPTIONS", preflight(origin)), ("GET", {"Origin": origin})):
        answer = shared.request(method, "/posts", headers=headers)
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.requirement("C.1")
def test_no_origin_is_allowed_by_default(visitor: Api) -> None:
    for method, headers in (("OPTIONS", preflight(ORIGIN)), ("GET", {"Origin": ORIGIN})):
        answer = visitor.request(method, "/posts", headers=headers)
        assert "access-control-allow-origin" not in answer.headers


@pytest.fixture(scope="module")
def open_to_all(launch_for_module: Launch) -> Iterator[Api]:
    """Return a visitor of a server that allows all origins and shows no docs."""
    with Api(launch_for_module(CORS_ORIGINS="*", DOCS_ENABLED="false")) as api:
        yield api


@pytest.mark.requirement("C.1")
def test_a_setting_can_allow_all_origins_without_credentials(open_to_all: Api) -> None:
    for method, headers in (("OPTIONS", preflight(FOREIGN)), ("GET", {"Origin": FOREIGN})):
        answer = open_to_all.request(method, "/posts", headers=headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


# --- The description of the API


@pytest.mark.requirement("C.1")
def test_the_docs_are_served_by_default(visitor: Api) -> None:
    assert [visitor.request("GET", path).status_code for path in DOCS] == [200] * len(DOCS)


@pytest.mark.requirement("C.1")
def test_a_setting_can_hide_the_docs(open_to_all: Api) -> None:
    assert [open_to_all.request("GET", path).status_code for path in DOCS] == [404] * len(DOCS)
    assert open_to_all.request("GET", "/posts").status_code == 200
    assert open_to_all.request("POST", "/docs").status_code == 404


@pytest.mark.requirement("C.1")
def test_the_first_page_does_not_name_hidden_docs(visitor: Api, open_to_all: Api) -> None:
    shown, hidden = (api.request("GET", "/") for api in (visitor, open_to_all))
    for word in ("docs", "redoc", "openapi", "metrics"):
        assert (word in shown.text, word in hidden.text) == (True, False)
    assert hidden.headers["content-security-policy"] == shown.headers["content-security-policy"]
    assert 'href="gallery"' in hidden.text
