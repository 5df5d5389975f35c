"""Two questions: is the process to be restarted, and is it to get requests?"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from app.health.service import Readiness, Report, Status
from app.shutdown import Shutdown

NO_STORE = {"Cache-Control": "no-store"}

router = APIRouter(prefix="/health", tags=["operations"])


class Alive(BaseModel):
    """The answer of a process that runs."""

    status: Literal["alive"] = "alive"


async def get_report(request: Request) -> Report:
    """Return how the process is."""
    readiness: Readiness = request.state.readiness
    shutdown: Shutdown = request.state.shutdown
    report = await readiness.report()
    if shutdown.draining:
        return report.model_copy(update={"status": Status.DRAINING})
    return report


@router.get("/live")
async def live(response: Response) -> Alive:
    """Answer. It depends on nothing: to restart us would not bring a database back."""
    response.headers.update(NO_STORE)
    return Alive()


@router.get("/ready", responses={503: {"model": Report}})
async def ready(report: Annotated[Report, Depends(get_report)], response: Response) -> Report:
    """Tell what works and what does not; 503 when requests should go elsewhere."""
    response.headers.update(NO_STORE)
    if report.status in (Status.UNAVAILABLE, Status.DRAINING):
        response.status_code = 503
    return report
