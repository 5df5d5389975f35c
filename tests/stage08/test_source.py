"""Requirement 8.4: the socket handler is async, and blocks no other request."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from course.harness.driver import Api
from tests.stage08.chat import Person, new_text

pytestmark = pytest.mark.craft

SAID, READS = 5, 6  # a server may limit messages to five at a time
SERVED_WITHIN = 3.0  # seconds for all reads; a handler that blocks takes longer


@pytest.mark.requirement("8.4")
def test_the_socket_handler_is_async(stage_directory: Path) -> None:
    handlers = [
        node
        for path in sorted((stage_directory / "app").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Attribute)
            and decorator.func.attr == "websocket"
            for decorator in node.decorator_list
        )
    ]
    assert handlers
    assert all(isinstance(handler, ast.AsyncFunctionDef) for handler in handlers)


@pytest.mark.requirement("8.4")
def test_an_open_socket_blocks_no_other_request(api: Api, ada: Person, bob: Person) -> None:
    """Both handlers wait for their clients; meanwhile the same process answers other requests."""
    assert api.request("GET", "/todos").status_code == 200
    text = new_text()
    ada.say(text)
    assert bob.message(text)


@pytest.mark.requirement("8.4")
@pytest.mark.contract("E27")
def test_other_requests_are_served_while_a_message_is_received(api: Api, ada: Person) -> None:
    texts = [new_text() for _ in range(SAID)]
    for text in texts:
        ada.say(text)
    began = time.monotonic()
    for _ in range(READS):
        assert api.request("GET", "/todos").status_code == 200
    took = time.monotonic() - began
    for text in texts:
        ada.message(text)
    assert took < SERVED_WITHIN


@pytest.mark.requirement("8.4")
def test_the_server_pings_half_open_connections(stage_directory: Path) -> None:
    """By default uvicorn pings every 20 seconds and closes connections without an answer."""
    for path in [*stage_directory.rglob("*.py"), *stage_directory.glob("*.md")]:
        assert "ws-ping-interval" not in path.read_text(encoding="utf-8")
        assert "ws_ping_interval" not in path.read_text(encoding="utf-8")
