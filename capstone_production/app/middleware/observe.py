"""The frame around every request: it gets its id, and is counted, timed and logged.

One middleware for all of it, outside of every other that answers, so that it sees what each of them
says. It looks at the head of an answer only: what is streamed goes through untouched.
"""

import time
from http import HTTPMethod

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import problem
from app.observability.access_log import log_request
from app.observability.http_metrics import count_request
from app.request_id import HEADER, choose_request_id, current_request_id

HEADS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}
SWITCHED = 101  # what a client gets whose WebSocket is accepted
METHODS = {*HTTPMethod, "WEBSOCKET"}
CLIENT_LEFT = 499  # nginx's number for a request that nobody waited for any more
OTHER = "other"  # a path or method that is not ours: there is no end to them


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
