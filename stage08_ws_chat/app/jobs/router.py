"""The operations on jobs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response, UploadFile
from fastapi import status as http_status
from fastapi.exceptions import RequestValidationError
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import select

from app.dependencies import CurrentUser, SessionDep, SettingsDep
from app.jobs.models import Job, JobStatus
from app.jobs.queue import JobQueue
from app.jobs.schemas import JobCreate, JobRead, RunAt, check_text
from app.jobs.service import cancel_job, find_own_job, read_report, submit_job
from app.jobs.streams import JobStream, JobStreams
from app.params import FORM_OVERHEAD, MAX_FILE_SIZE, MAX_LONG_TEXT, Limit, Offset
from app.routing import GuardFirstRoute

FILES_AT_ONCE = 2  # a text can take four times its file, until the database has it

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=GuardFirstRoute)
reading = asyncio.Semaphore(FILES_AT_ONCE)


async def get_queue(request: Request) -> JobQueue:
    """Return the queue that was chosen when the server started."""
    queue: JobQueue = request.state.job_queue
    return queue


Queue = Annotated[JobQueue, Depends(get_queue)]


@router.post(
    "",
    response_model=JobRead,
    status_code=http_status.HTTP_202_ACCEPTED,
    max_body_size=MAX_LONG_TEXT,
)
async def create_job(
    job_in: JobCreate,
    user: CurrentUser,
    session: SessionDep,
    queue: Queue,
    settings: SettingsDep,
    response: Response,
) -> Job:
    """Have a text analysed in the background."""
    limit = settings.max_waiting_jobs_per_user
    job = await submit_job(job_in.text, job_in.run_at, user, session, queue, limit)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job


@router.post(
    "/file",
    response_model=JobRead,
    status_code=http_status.HTTP_202_ACCEPTED,
    max_body_size=MAX_FILE_SIZE + FORM_OVERHEAD,
    form_limits={"max_files": 1, "max_fields": 10},
)
async def create_job_from_file(
    file: UploadFile,
    user: CurrentUser,
    session: SessionDep,
    queue: Queue,
    settings: SettingsDep,
    response: Response,
    run_at: Annotated[RunAt | None, Form()] = None,
) -> Job:
    """Have a text file (UTF-8, up to 5 MiB) analysed in the background."""
    await session.commit()  # others can have the database connection while we wait for our turn
    async with reading:
        text = await read_text(file)
        limit = settings.max_waiting_jobs_per_user
        job = await submit_job(text, run_at, user, session, queue, limit)
    response.headers["Location"] = f"/jobs/{job.id}"
    return job


async def read_text(file: UploadFile) -> str:
    """Return what is in a text file; answers 413, 415 and 422 for what cannot be taken."""
    content = await file.read(MAX_FILE_SIZE + 1)
    if len(content) > MAX_FILE_SIZE:
        raise HTTPException(413, f"A text file has at most {MAX_FILE_SIZE} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HTTPException(415, "The file is not text in UTF-8") from None
    try:
        return check_text(text)
    except ValueError as error:
        problem = {"type": "value_error", "loc": ("body", "file"), "msg": str(error)}
        raise RequestValidationError([problem]) from error


@router.get("", response_model=list[JobRead])
async def list_jobs(
    user: CurrentUser,
    session: SessionDep,
    status: Annotated[JobStatus | None, Query()] = None,
    limit: Limit = 20,
    offset: Offset = 0,
) -> Sequence[Job]:
    """Return one's own jobs, newest first."""
    statement = select(Job).where(Job.owner_id == user.id)
    if status is not None:
        statement = statement.where(Job.status == status)
    statement = statement.order_by(Job.created_at.desc(), Job.id.desc())
    return (await session.scalars(statement.limit(limit).offset(offset))).all()


@router.get("/{job_id}", response_model=JobRead)
async def read_job(job_id: uuid.UUID, user: CurrentUser, session: SessionDep) -> Job:
    """Return one of one's own jobs."""
    return await find_own_job(job_id, user, session)


@router.get("/{job_id}/report", response_class=Response)
async def read_job_report(job_id: uuid.UUID, user: CurrentUser, session: SessionDep) -> Response:
    """Return the report of a job that succeeded, in Markdown."""
    report = await read_report(job_id, user, session)
    return Response(report, media_type="text/markdown")


async def open_stream(
    job_id: uuid.UUID, user: CurrentUser, session: SessionDep, request: Request
) -> JobStream:
    """Return a stream of the job: an error is still an answer here, later it can only cut off."""
    job = await find_own_job(job_id, user, session)
    # At the end of the dependencies the stream has begun, and an error there could not be answered.
    await session.commit()
    streams: JobStreams = request.state.job_streams
    return streams.open(job)


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def watch_job(
    stream: Annotated[JobStream, Depends(open_stream)], request: Request
) -> AsyncIterator[ServerSentEvent]:
    """Send the job each time it changes, as server-sent events, until it has ended.

    The stream closes after `ACCESS_TOKEN_TTL`; the client reconnects.
    """
    streams: JobStreams = request.state.job_streams
    async for event in streams.events(stream, request.state.settings.access_token_ttl):
        yield event


@router.delete("/{job_id}", response_model=JobRead)
async def remove_job(job_id: uuid.UUID, user: CurrentUser, session: SessionDep) -> Job:
    """Cancel a job that has not begun."""
    return await cancel_job(job_id, user, session)
