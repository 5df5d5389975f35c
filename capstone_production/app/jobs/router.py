"""The operations on jobs: each reads the input, calls the service and answers."""

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request, Response, UploadFile
from fastapi import status as http_status
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.cache.http import IfMatchDep, answer_body, as_body
from app.dependencies import CachedUser, CurrentUser, SessionDep, SettingsDep
from app.exceptions import errors
from app.idempotency import IdempotencyDep
from app.jobs.models import Job, JobStatus
from app.jobs.schemas import JobCreate, JobRead, RunAt
from app.jobs.service import JobService, as_json, location
from app.jobs.streams import JobStream, JobStreams
from app.params import FORM_OVERHEAD, MAX_FILE_SIZE, MAX_LONG_TEXT, Limit, Offset
from app.routing import GuardFirstRoute

router = APIRouter(
    prefix="/jobs", tags=["jobs"], route_class=GuardFirstRoute, responses=errors(401)
)


async def get_job_service(
    request: Request, session: SessionDep, user: CurrentUser, settings: SettingsDep
) -> JobService:
    """Return the signed-in user's service, which works in the request's session."""
    most = settings.max_waiting_jobs_per_user
    return JobService(session, request.state.job_queue, user, max_waiting=most)


async def get_quick_job_service(
    request: Request, session: SessionDep, user: CachedUser, settings: SettingsDep
) -> JobService:
    """Return the same service for the user from the cache, which saves a query."""
    most = settings.max_waiting_jobs_per_user
    return JobService(session, request.state.job_queue, user, max_waiting=most)


JobServiceDep = Annotated[JobService, Depends(get_job_service)]
QuickJobServiceDep = Annotated[JobService, Depends(get_quick_job_service)]


@router.post(
    "",
    response_model=JobRead,
    status_code=http_status.HTTP_202_ACCEPTED,
    max_body_size=MAX_LONG_TEXT,
    responses=errors(413, 429),
)
async def create_job(
    job_in: JobCreate,
    service: QuickJobServiceDep,
    idempotency: IdempotencyDep,
    response: Response,
) -> Job | Response:
    """Analyse a text in the background."""
    job = await service.submit(job_in.text, job_in.run_at, idempotency)
    if isinstance(job, Job):
        response.headers["Location"] = location(job)
    return job


@router.post(
    "/file",
    response_model=JobRead,
    status_code=http_status.HTTP_202_ACCEPTED,
    max_body_size=MAX_FILE_SIZE + FORM_OVERHEAD,
    form_limits={"max_files": 1, "max_fields": 10},
    responses=errors(413, 415, 429),
)
async def create_job_from_file(
    file: UploadFile,
    service: QuickJobServiceDep,
    idempotency: IdempotencyDep,
    response: Response,
    run_at: Annotated[RunAt | None, Form()] = None,
) -> Job | Response:
    """Analyse a text file (UTF-8, up to 5 MiB) in the background."""
    job = await service.submit_file(file, run_at, idempotency)
    if isinstance(job, Job):
        response.headers["Location"] = location(job)
    return job


@router.get("", response_model=list[JobRead])
async def list_jobs(
    service: JobServiceDep,
    status: Annotated[JobStatus | None, Query()] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Sequence[Job]:
    """Return your jobs, newest first."""
    return await service.list(status=status, limit=limit, offset=offset)


@router.get("/{job_id}", response_model=JobRead, responses=errors(404))
async def read_job(job_id: uuid.UUID, service: JobServiceDep, request: Request) -> Response:
    """Return one of your jobs."""
    body = as_body(as_json(await service.get(job_id)))
    return answer_body(request, body, "private, no-cache")


@router.get("/{job_id}/report", response_class=Response, responses=errors(404, 409))
async def read_job_report(job_id: uuid.UUID, service: JobServiceDep) -> Response:
    """Return the report of a job that succeeded, in Markdown."""
    return Response(await service.read_report(job_id), media_type="text/markdown")


async def open_stream(job_id: uuid.UUID, service: JobServiceDep, request: Request) -> JobStream:
    """Return a stream of the job. An error here gets a status; a later one cuts off the stream."""
    return await service.open_stream(job_id, request.state.job_streams)


@router.get("/{job_id}/events", response_class=EventSourceResponse, responses=errors(404, 429))
async def watch_job(
    stream: Annotated[JobStream, Depends(open_stream)], request: Request
) -> AsyncIterator[ServerSentEvent]:
    """Send the job each time it changes, as server-sent events, until it has ended.

    The stream closes after `ACCESS_TOKEN_TTL`; the client reconnects.
    """
    streams: JobStreams = request.state.job_streams
    async for event in streams.events(stream, request.state.settings.access_token_ttl):
        yield event


@router.delete("/{job_id}", response_model=JobRead, responses=errors(404, 409, 412))
async def remove_job(job_id: uuid.UUID, service: JobServiceDep, if_match: IfMatchDep) -> Job:
    """Cancel a job that has not begun."""
    return await service.cancel(job_id, if_match)
