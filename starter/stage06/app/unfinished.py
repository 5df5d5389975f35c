"""What is left to do answers 501 and says so. Delete this file when nothing is."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


def answer_unfinished(app: FastAPI) -> None:
    """Give the application an answer for what raises `NotImplementedError`."""

    @app.exception_handler(NotImplementedError)
    async def answer_todo(_request: Request, error: NotImplementedError) -> Response:
        return JSONResponse({"detail": str(error)}, 501)
