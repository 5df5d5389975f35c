"""Routes whose guards come before their bodies."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from app.exceptions import UNREADABLE


class GuardFirstRoute(APIRoute):
    """A route whose guards come before its body: 401, 403 and 404 before 422.

    FastAPI asks the dependencies before it validates a body, but only after it has read it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the usual handler, which gets the request as a `PatientRequest`."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(PatientRequest(request.scope, request.receive))

        return handle


class PatientRequest(Request):
    """A request that reads an unreadable body as nothing, which no required body can be.

    So validation fails after the guards, and `answer_invalid_input` tells the true reason.
    """

    async def json(self) -> Any:
        """Return what the body holds, or None."""
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
            if error.status_code != 400:  # too large, say
                raise
            self.state.unreadable = UNREADABLE
            return FormData()
