"""Requirement C.4: the log is JSON and contains no private data."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from course.harness.driver import Api
from course.harness.plugin import Launch
from course.harness.queue import NO_REDIS, redis_is_available
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.cluster import Cluster
from tests.stage05.jobs import submit, succeeded
from tests.stage08.chat import open_socket, refusal, who_is

pytestmark = pytest.mark.craft

Line = dict[str, Any]


@pytest.fixture(scope="module")
def json_server(launch_for_module: Launch) -> LaunchedServer:
    """Return a server that logs JSON."""
    return launch_for_module(LOG_FORMAT="json")


@pytest.fixture
def reader(json_server: LaunchedServer) -> Iterator[Api]:
    """Return a user of that server."""
    with Api(json_server) as visitor:
        yield visitor.as_new_user()


def lines(text: str) -> list[Line]:
    """Return the lines of the log; each must be a JSON object with the usual members."""
    read = [json.loads(line) for line in text.splitlines()]
    for line in read:
        assert line.keys() >= {"time", "level", "logger", "message"}, line
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta()
    return read


def access_line(server: LaunchedServer, request_id: str) -> Line:
    """Return the access line of a request; the server writes it after the answer."""

    def find() -> list[Line]:
        found = [line for line in lines(server.log_text()) if line["logger"] == "app.access"]
        return [line for line in found if line["request_id"] == request_id]

    (line,) = eventually(find)
    return line


@pytest.mark.requirement("C.4")
def test_every_line_of_the_log_is_json(launch: Launch) -> None:
    server = launch(LOG_FORMAT="json")
    with Api(server) as visitor:
        visitor.as_new_user().create_todo()
    server.stop()
    messages = [line["message"] for line in lines(server.log_text())]
    assert any("Started server process" in message for message in messages)
    assert any("Application shutdown complete" in message for message in messages)


@pytest.mark.requirement("C.4")
def test_a_request_is_one_line_with_all_useful_fields(
    json_server: LaunchedServer, reader: Api
) -> None:
    todo = reader.create_todo()
    request_id = secrets.token_hex(8)
    before = datetime.now(UTC)
    reader.request("GET", f"/todos/{todo['id']}", headers={"X-Request-ID": request_id})
    line = access_line(json_server, request_id)
    assert line["method"] == "GET"
    assert line["route"] == "/todos/{todo_id}"
    assert line["status"] == 200
    assert 0 <= line["duration_ms"] < 20_000
    assert line["user_id"] == who_is(reader)["id"]
    assert line["client"] == "127.0.0.1"
    assert line["level"] == "info"
    logged_at = datetime.fromisoformat(line["time"])
    assert before - timedelta(seconds=1) < logged_at < datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.requirement("C.4")
def test_the_line_of_a_request_without_a_token_has_no_user(
    json_server: LaunchedServer, reader: Api
) -> None:
    request_id = secrets.token_hex(8)
    # The request uses the same connection as the user's requests.
    reader.request("GET", "/todos")
    reader.with_token(None).request("GET", "/posts", headers={"X-Request-ID": request_id})
    assert access_line(json_server, request_id)["user_id"] is None


@pytest.mark.requirement("C.4")
def test_the_log_contains_routes_but_no_raw_urls(json_server: LaunchedServer, reader: Api) -> None:
    secret = secrets.token_hex(12)
    mark = json_server.log_mark()
    for path in (f"/{secret}", f"/todos/{secret}", f"/todos?q={secret}", f"/images/{secret}/"):
        reader.request("GET", path)
    reader.request(secret.upper(), "/todos")
    assert refusal(json_server, query=f"?token={secret}")
    assert refusal(json_server, query=f"?token={reader.token}&{secret}=1") == 0
    eventually(lambda: json_server.log_since(mark).count('"/ws/chat"') == 2)
    logged = json_server.log_since(mark)
    assert {"other", "/todos"} <= {line.get("route") for line in lines(logged)}
    assert secret not in logged.lower()


@pytest.mark.requirement("C.4")
def test_bodies_and_tokens_are_never_logged(json_server: LaunchedServer, reader: Api) -> None:
    secret = secrets.token_hex(12)
    credentials = {"username": f"user_{secrets.token_hex(4)}", "password": secret}
    reader.request("POST", "/auth/register", json=credentials)
    answer = reader.request("POST", "/auth/token", data=credentials).json()
    reader.request("POST", "/auth/token", data=credentials | {"password": secret + "x"})
    reader.request("POST", "/auth/refresh", json={"refresh_token": answer["refresh_token"]})
    reader.request("POST", "/todos", json={"title": {"secret": secret}})
    reader.create_todo(secret)
    log = json_server.log_text()
    assert secret not in log
    assert answer["refresh_token"] not in log
    assert answer["access_token"] not in log


@pytest.mark.requirement("C.4")
def test_a_client_cannot_forge_a_log_line(json_server: LaunchedServer, reader: Api) -> None:
    mark = json_server.log_mark()
    with open_socket(json_server, header=f"Bearer {reader.token}"):
        reader.request("GET", '/a%0a{"level":"error"}', headers={"X-Request-ID": 'x","level":"e'})
    eventually(lambda: "/ws/chat" in json_server.log_since(mark))
    assert {line["level"] for line in lines(json_server.log_since(mark))} == {"info"}


@pytest.mark.requirement("C.4")
def test_health_and_metrics_requests_are_not_logged(
    json_server: LaunchedServer, reader: Api
) -> None:
    mark = json_server.log_mark()
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert reader.request("GET", path).status_code == 200
    assert reader.request("GET", "/todos").status_code == 200
    eventually(lambda: "/todos" in json_server.log_since(mark))
    logged = {line.get("route") for line in lines(json_server.log_since(mark))}
    assert not logged & {"/health/live", "/health/ready", "/metrics"}


@pytest.mark.requirement("C.4")
def test_the_console_log_is_readable_text(api: Api, launched_server: LaunchedServer) -> None:
    mark = launched_server.log_mark()
    todo = api.create_todo()
    api.with_token(None).request("GET", f"/todos/{todo['id']}?q=secret")
    eventually(lambda: "GET /todos/{todo_id} 401" in launched_server.log_since(mark))
    assert "POST /todos 201" in launched_server.log_since(mark)
    assert "secret" not in launched_server.log_since(mark)


@pytest.mark.requirement("C.4")
@pytest.mark.skipif(not redis_is_available(), reason=NO_REDIS)
def test_worker_and_beat_log_json(launch: Launch, tmp_path: Path) -> None:
    server = launch(start=False, LOG_FORMAT="json")
    cluster = Cluster(server, tmp_path)
    for process in (cluster.worker, cluster.beat):
        process.environment["LOG_FORMAT"] = "json"
        # Celery prints a banner by default.
        process.command = (*process.command[:3], "--quiet", *process.command[3:])
    try:
        api, _ = cluster.start()
        with api:
            cluster.worker.start()
            cluster.beat.start()
            succeeded(api, submit(api)["id"])
        # Without the last lines: a stopping worker prints plain text with any logging setup.
        for process in (cluster.worker, cluster.beat):
            assert lines(process.log_text())
            assert "Traceback" not in process.log_text()
        assert any("ready" in line["message"] for line in lines(cluster.worker.log_text()))
    finally:
        cluster.end()
