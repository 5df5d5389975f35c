"""`/health/live` and `/health/ready`: does the process run, and should it get requests?"""

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
    """Return the state of the process and of each check."""
    readiness: Readiness = request.state.readiness
    shutdown: Shutdown = request.state.shutdown
    report = await readiness.report()
    if shutdown.draining:
        return report.model_copy(update={"status": Status.DRAINING})
    return report


@router.get("/live")
async def live(response: Response) -> Alive:
    """Answer without any check, since a restart would not bring a database back."""
    response.headers.update(NO_STORE)
    return Alive()


@router.get("/ready", responses={503: {"model": Report}})
async def ready(report: Annotated[Report, Depends(get_report)], response: Response) -> Report:
    """Report the state of each dependency; 503 when requests should go to another replica."""
    response.headers.update(NO_STORE)
    if report.status in (Status.UNAVAILABLE, Status.DRAINING):
        response.status_code = 503
    return report
