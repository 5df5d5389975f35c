"""What was said over HTTP, kept short and without secrets, for the report of a failed test.

`RECENT` holds the last exchanges of the running test. Passwords and tokens are masked before
anything is kept, so no report, log or terminal ever shows one.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tests.harness.server import Server

TOKEN = "$TOKEN"
_KEPT = 8_192
_SHOWN = 1_000
_EXCHANGES_SHOWN = 3

_SECRET_FIELD = r"(?:password|access_token|refresh_token|client_secret)"
_IN_JSON = re.compile(rf'("{_SECRET_FIELD}"\s*:\s*)"(?:[^"\\]|\\.)*(?:"|\\?$)', re.IGNORECASE)
_IN_FORM = re.compile(rf"\b({_SECRET_FIELD}|token)=[^&\s\"']+", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]*(?:\.[\w-]*)?")
_BEARER = re.compile(r"(bearer[ ,]+)[^\s,\"']+", re.IGNORECASE)


def mask(text: str) -> str:
    """Return `text` with `***` for passwords and `$TOKEN` for tokens."""
    text = _IN_JSON.sub(r'\1"***"', text)
    text = _IN_FORM.sub(r"\1=***", text)
    return _JWT.sub(TOKEN, text)


def _mask_header(name: str, value: str) -> str:
    if name.lower() == "authorization":
        scheme, _, _ = value.partition(" ")
        return f"{scheme} {TOKEN}"
    if name.lower() == "sec-websocket-protocol":
        return _BEARER.sub(rf"\1{TOKEN}", value)
    return mask(value)


@dataclass(frozen=True)
class Body:
    """The beginning of a body, masked: `text` is None when it is not UTF-8 text."""

    text: str | None
    size: int

    @classmethod
    def of(cls, data: bytes) -> Body:
        """Keep what a reader can use of `data`."""
        start = data[:_KEPT]
        try:
            # The cut may be in the middle of a character.
            text = start.decode("utf-8") if len(data) <= _KEPT else start.decode("utf-8", "ignore")
        except UnicodeDecodeError:
            return cls(None, len(data))
        if not all(character.isprintable() or character in "\n\r\t" for character in text):
            return cls(None, len(data))
        return cls(mask(text)[:_SHOWN], len(data))

    @property
    def whole(self) -> bool:
        """Whether `text` is all of it."""
        return self.text is not None and self.size <= _KEPT and len(self.text) < _SHOWN

    def __str__(self) -> str:
        if self.text is None:
            return f"({self.size} bytes, not text)"
        return self.text if self.whole else f"{self.text}… ({self.size} bytes in all)"


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; `status` is None and `problem` says why when none came."""

    server: Server
    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: Body
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    response_body: Body
    problem: str

    def __str__(self) -> str:
        lines = [f"{self.method} {self.url}"]
        lines += [f"{name}: {value}" for name, value in self.request_headers]
        lines += ["", str(self.request_body)] if self.request_body.size else []
        if self.status is None:
            lines.append(f"→ no answer: {self.problem}")
        else:
            lines.append(f"→ {self.status}")
            lines += [f"{name}: {value}" for name, value in self.response_headers]
            lines += ["", str(self.response_body)] if self.response_body.size else []
        return "\n".join(lines)

    def curl(self) -> str:
        """Return a shell command that sends the same request; `$TOKEN` is for the reader to set."""
        words = ["curl", "-i"]
        if self.method != "GET":
            words += ["-X", self.method]
        words.append(shlex.quote(self.url))
        for name, value in self.request_headers:
            if name.lower() in _CURL_SETS:
                continue
            header = f"{name}: {value}"
            # Double quotes, so that the shell puts the token in.
            words += ["-H", f'"{header}"' if TOKEN in value else shlex.quote(header)]
        if self.request_body.whole and self.request_body.size:
            words += ["--data-raw", shlex.quote(str(self.request_body))]
        elif self.request_body.size:
            kind = "binary" if self.request_body.text is None else "long"
            words.append(f"--data-binary @body  # {kind} body, {self.request_body.size} bytes")
        return " ".join(words)


# Headers that curl writes by itself, from the URL and the body.
_CURL_SETS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "user-agent",
}

RECENT: deque[Exchange] = deque(maxlen=8)
FRAMES: deque[str] = deque(maxlen=30)  # what was said over WebSockets, a line each


class FrameLog(logging.Handler):
    """Keeps what `websockets` logs of its frames for the report of this test, secrets masked."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line that says what went out (`>`) or came in (`<`)."""
        line = record.getMessage()
        if line.startswith(("<", ">")):
            FRAMES.append(_BEARER.sub(rf"\1{TOKEN}", mask(line[:_SHOWN])))


def remember(
    server: Server,
    method: str,
    url: str,
    request_headers: Iterable[tuple[str, str]],
    request_body: bytes,
    *,
    status: int | None = None,
    response_headers: Iterable[tuple[str, str]] = (),
    response_body: bytes = b"",
    problem: str = "",
) -> Exchange:
    """Keep an exchange for the report of this test and return it, secrets masked."""
    exchange = Exchange(
        server=server,
        method=method,
        url=mask(url),
        request_headers=tuple((name, _mask_header(name, value)) for name, value in request_headers),
        request_body=Body.of(request_body),
        status=status,
        response_headers=tuple((name, mask(value)) for name, value in response_headers),
        response_body=Body.of(response_body),
        problem=problem,
    )
    RECENT.append(exchange)
    return exchange


def report_sections() -> list[tuple[str, str]]:
    """Return titles and texts that tell what this test said and heard, for a failure report."""
    frames = [("WebSocket", "\n".join(FRAMES))] if FRAMES else []
    if not RECENT:
        return frames
    last = RECENT[-1]
    shown = list(RECENT)[-_EXCHANGES_SHOWN:]
    sections = [
        ("Last exchanges", "\n\n".join(str(exchange) for exchange in shown)),
        ("To repeat the last one", last.curl()),
        *frames,
    ]
    log = mask(last.server.log_tail())
    return [*sections, ("The server's log ends", log)] if log else sections
