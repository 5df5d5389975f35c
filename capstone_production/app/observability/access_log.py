"""A line in the log for every request: what uvicorn's has, without what must not be in a log.

uvicorn writes the address as it was asked for, and people put secrets there. Ours has the template
of the route, and with it the user, the time it took, and the request's id.
"""

import logging

from starlette.types import Scope

# What asks every few seconds would hide everything else.
NOT_LOGGED = {"/health/live", "/health/ready", "/metrics"}

logger = logging.getLogger("app.access")


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
