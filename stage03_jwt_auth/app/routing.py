"""Routes that run their guards before they validate the body."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from app.exceptions import UNREADABLE


class GuardFirstRoute(APIRoute):
    """A route that runs its guards before it validates the body: 401, 403 and 404 before 422.

    FastAPI calls dependencies before it validates a body, but after it has read that body.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the usual handler, which gets the request as a `PatientRequest`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(PatientRequest(request.scope, request.receive))

        return handle


class PatientRequest(Request):
    """A request that returns None for an unreadable body instead of raising.

    Validation then fails after the guards, and `answer_invalid_input` reports the real reason.
    """

    async def json(self) -> Any:
        """Return the parsed body, or None."""
        try:
            return await super().json()
        except json.JSONDecodeError as error:
            place = ("body", error.pos)
            self.state.unreadable = {"type": "json_invalid", "loc": place, "msg": error.msg}
        except (ValueError, RecursionError):
            self.state.unreadable = UNREADABLE
        return None

    async def _get_form(self, **limits: Any) -> FormData:
        try:
            return await super()._get_form(**limits)
        except HTTPException as error:
            if error.status_code != 400:  # such as 413
                raise
            self.state.unreadable = UNREADABLE
            return FormData()
