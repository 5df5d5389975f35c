"""Gives every request an id, and counts, times and logs it.

This middleware is outside of every other one that answers, so it sees all answers. It reads only
the head of an answer; the body passes unchanged, also in a stream.

The number of series is bounded: a route counts under its template, and unknown methods count
together. The instrumentator's middleware counts the same requests, but searches the routes a second
time for each one, and makes a series for every URL that is redirected.

uvicorn's line about a request has the URL as the client sent it, and clients put secrets there. Our
line has the template of the route, the user, the duration and the request's id.
"""

import logging
import time
from http import HTTPMethod

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import REQUEST_ID, choose_request_id, current_request_id, problem

HEADS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}
SWITCHED = 101  # the status of an accepted WebSocket
METHODS = {*HTTPMethod, "WEBSOCKET"}
CLIENT_LEFT = 499  # nginx's status for a request whose client closed the connection
OTHER = "other"  # all unknown paths and methods, since clients can invent any number of them
# Docker and Prometheus ask every few seconds; their lines would hide all others.
NOT_LOGGED = {"/health/live", "/health/ready", "/metrics"}
# In seconds: the fine ones suit requests that only this app works on, the others slow dependencies.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("http_requests_total", "Answered requests.", ["method", "handler", "status"])
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time until the answer began.",
    ["method", "handler"],
    buckets=BUCKETS,
)

# A lookup of a series by its labels takes longer than counting in it.
_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

logger = logging.getLogger("app.access")


class ObserveMiddleware:
    """Identifies, counts, times and logs every request and every WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through, with the request's id added to the head of the answer."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = choose_request_id(scope["headers"])
        current_request_id.set(request_id)
        began = time.perf_counter()
        status = 0
        waited = 0.0  # seconds until the answer began

        async def send_observed(message: Message) -> None:
            nonlocal status, waited
            if message["type"] in HEADS:
                status = message.get("status", SWITCHED)
                waited = time.perf_counter() - began
                headers = [*message.get("headers", ()), (REQUEST_ID, request_id.encode())]
                message = {**message, "headers": headers}
            elif message["type"] == "websocket.close" and not status:
                # Otherwise uvicorn would answer a refused handshake itself, without an id.
                refusal = problem(403, message.get("reason") or "The socket was refused")
                await refusal(scope, receive, send_observed)
                return
            await send(message)

        try:
            await self.app(scope, receive, send_observed)
        except BaseException:
            status = status or 500
            raise
        finally:
            status = status or CLIENT_LEFT
            route = find_route(scope)
            took = time.perf_counter() - began
            method = scope.get("method", "WEBSOCKET")
            method = method if method in METHODS else OTHER
            count_request(method, route, status, waited or took)
            log_request(scope, method, route, status, took)


def find_route(scope: Scope) -> str:
    """Return the template of the route, such as `/todos/{todo_id}`, or `OTHER`.

    Never the path of the request, since clients put secrets there.
    """
    return getattr(scope.get("route"), "path", OTHER)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request; `seconds` is the time until the answer began.

    `method` and `route` must come from fixed lists, not from the client.
    """
    key = (method, route, status)
    if key not in _series:
        _series[key] = REQUESTS.labels(method, route, status), DURATION.labels(method, route)
    requests, duration = _series[key]
    requests.inc()
    duration.observe(seconds)


def log_request(scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
    """Write the line of a request, or of a WebSocket that has ended."""
    if route in NOT_LOGGED or not logger.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    fields = {
        "method": method,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 1),
        "user_id": scope["state"].get("user_id"),
        "client": client[0] if client else None,
    }
    logger.info("%s %s %d", method, route, status, extra={"fields": fields})
