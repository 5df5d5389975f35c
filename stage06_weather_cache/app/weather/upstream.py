"""Calls a server on the internet, which may be slow, down, overloaded or broken.

Each fault becomes one of the errors of this file. None of them contains the request's URL, because
our key is in it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from fastapi import HTTPException

from app.config import Settings
from app.exceptions import StartupError

LIMITS = httpx.Limits(max_connections=20, max_keepalive_connections=10)
ATTEMPTS = 2
RETRY_DELAY = 0.2  # seconds
MAX_ANSWER = 1024 * 1024  # bytes
DEFAULT_RETRY_AFTER = 60  # seconds
MAX_RETRY_AFTER = 60 * 60  # seconds; the longest Retry-After that we accept

# httpx logs every URL with its parameters.
logging.getLogger("httpx").setLevel(logging.WARNING)


class UpstreamError(HTTPException):
    """The provider is unreachable, or its answer is unusable: answered with 502."""

    def __init__(
        self, detail: str, *, status_code: int = 502, retry_after: int | None = None
    ) -> None:
        headers = {"Retry-After": str(retry_after)} if retry_after else None
        super().__init__(status_code, detail, headers)


class UpstreamTimeout(UpstreamError):
    """The provider took too long: answered with 504."""

    def __init__(self, retry_after: int = 1) -> None:
        detail = "The weather provider did not answer in time"
        super().__init__(detail, status_code=504, retry_after=retry_after)


class UpstreamBusy(UpstreamError):
    """The provider wants fewer requests from us: answered with 503."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        detail = "The weather provider limits our requests: try again later"
        super().__init__(detail, status_code=503, retry_after=retry_after)


class TooManyLookups(UpstreamError):
    """The limit `WEATHER_LOOKUPS_PER_MINUTE` is reached: answered with 503."""

    def __init__(self, retry_after: int) -> None:
        detail = "Too many cities are being looked up right now: try again in a moment"
        super().__init__(detail, status_code=503, retry_after=retry_after)


@dataclass(frozen=True)
class Answer:
    """The status and the body of an answer that was received as a whole."""

    status: int
    body: bytes


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Yield the client that all requests share: it keeps connections open between them."""
    whole = settings.weather_timeout
    # For each phase. A server that sends single bytes slowly never exceeds them: see `deadline`.
    timeout = httpx.Timeout(connect=whole / 5, read=whole / 2, write=whole / 2, pool=whole / 5)
    # A few compressed bytes can unpack to gigabytes, so we ask for uncompressed answers.
    headers = {"Accept-Encoding": "identity"}
    try:
        # Proxies and certificates come from the environment, as for any other program.
        client = httpx.AsyncClient(headers=headers, timeout=timeout, limits=LIMITS)
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        reason = f"Cannot use the proxy or certificates that the environment names: {error}"
        raise StartupError(reason) from error
    async with client:
        yield client


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raise `UpstreamTimeout` when the whole block takes longer than `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UpstreamTimeout from None


async def fetch(client: httpx.AsyncClient, url: str, params: Mapping[str, str]) -> Answer:
    """Return the provider's answer to a GET; raises `UpstreamError` or one of its kinds.

    A GET changes nothing, so it is safe to repeat. It is repeated once, after a broken connection
    or a 5xx. After a timeout it is not, because the client has waited long enough.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = await _fetch_once(client, url, params)
        except httpx.TimeoutException:
            raise UpstreamTimeout from None
        # UnicodeError: an invalid host name.
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            problem = f"The weather provider cannot be reached: {type(error).__name__}"
        else:
            if answer.status < 500:
                return answer
            problem = f"The weather provider has an error: {answer.status}"
        if attempt < ATTEMPTS:
            await asyncio.sleep(RETRY_DELAY)
    raise UpstreamError(problem)


async def _fetch_once(client: httpx.AsyncClient, url: str, params: Mapping[str, str]) -> Answer:
    async with client.stream("GET", url, params=params) as response:
        status, retry_after = response.status_code, response.headers.get("Retry-After", "")
        # A 503 with Retry-After also asks for a pause: RFC 9110, 15.6.4.
        if status == httpx.codes.TOO_MANY_REQUESTS or (
            status == httpx.codes.SERVICE_UNAVAILABLE and retry_after
        ):
            raise UpstreamBusy(_retry_after(retry_after))
        body = b""
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise UpstreamError("The weather provider's answer is too long")
    return Answer(status, body)


def _retry_after(value: str) -> int:
    """Return the header's seconds. It holds a number or a date (RFC 9110, 10.2.3)."""
    seconds = DEFAULT_RETRY_AFTER
    if value.isascii() and value.isdigit():
        seconds = int(value[:6])
    elif value:
        with suppress(ValueError, TypeError, OverflowError):
            seconds = int((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return min(max(seconds, 1), MAX_RETRY_AFTER)
