"""The frame around every request: it gets its id, and is counted, timed and logged.

One middleware does all of it, outside of every other that answers, so it sees what each of them
says. It looks at the head of an answer only: what is streamed goes through untouched.

The number of series is bounded: routes by their template, and no method that does not exist. The
instrumentator's own middleware counts the same. But it searches the routes a second time for each
request, and makes a series of every address that is redirected.

uvicorn's line about a request has the address as the client sent it, and people put secrets there.
Ours has the template of the route, the user, the time that it took, and the request's id.
"""

import logging
import time
from http import HTTPMethod

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import problem
from app.request_id import HEADER, choose_request_id, current_request_id

HEADS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}
SWITCHED = 101  # what a client gets whose WebSocket is accepted
METHODS = {*HTTPMethod, "WEBSOCKET"}
CLIENT_LEFT = 499  # nginx's number for a request that nobody waited for any more
OTHER = "other"  # a path or method that is not ours: there is no end to them
# What asks every few seconds would hide everything else.
NOT_LOGGED = {"/health/live", "/health/ready", "/metrics"}
# In seconds: the finer ones tell our own work apart, the others what we wait for.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter(
    "http_requests_total", "Requests that were answered.", ["method", "handler", "status"]
)
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time until the answer began.",
    ["method", "handler"],
    buckets=BUCKETS,
)

# To find a series by its labels takes longer than to count in it.
_series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

logger = logging.getLogger("app.access")


class ObserveMiddleware:
    """Names, counts, times and logs every request and every WebSocket."""

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
                headers = [*message.get("headers", ()), (HEADER, request_id.encode())]
                message = {**message, "headers": headers}
            elif message["type"] == "websocket.close" and not status:
                # A server would answer a refused handshake itself, without an id.
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
    """Return the path of the route that was chosen, such as `/todos/{todo_id}`.

    Never the path that was asked for: people put secrets there.
    """
    return getattr(scope.get("route"), "path", OTHER)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request; `seconds` is the time until the answer began.

    `method` and `route` are from fixed lists, not from the client.
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
