"""Records requests and answers, shortened and without secrets, for the report of a failed test.

`RECENT` holds the last exchanges of the running test, `UNANSWERED` the requests without an answer.
Passwords and tokens are masked before they are stored, so no report, log or terminal shows one. A
grade shows passwords of users that the tests register (`show_throw_away_passwords`), so that a
person can sign in and repeat the failure.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import shlex
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

from course.harness.server import Server

TOKEN = "$TOKEN"
_KEPT = 8_192
_SHOWN = 1_000
_BRIEFLY = 200  # characters of a body on one line
_PASTED = 1_200  # characters of a program that makes a body
_LONGEST_MADE = 8 * 1024 * 1024  # bytes of a body in which repetitions are searched
_EXCHANGES_SHOWN = 3

_SECRET_FIELD = r"(?:password|access_token|refresh_token|client_secret)"
_IN_JSON = re.compile(rf'("{_SECRET_FIELD}"\s*:\s*)"((?:[^"\\]|\\.)*)(?:"|\\?$)', re.IGNORECASE)
_IN_FORM = re.compile(rf"\b({_SECRET_FIELD}|token)=([^&\s\"']+)", re.IGNORECASE)
_REPEATED = re.compile(r"(.)\1{99,}", re.DOTALL)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]*(?:\.[\w-]*)?")
_BEARER = re.compile(r"(bearer[ ,]+)[^\s,\"']+", re.IGNORECASE)


def mask(text: str) -> str:
    """Return `text` with `***` for passwords and `$TOKEN` for tokens."""
    text = _IN_JSON.sub(lambda found: f'{found[1]}"{_masked(found[2])}"', text)
    text = _IN_FORM.sub(lambda found: f"{found[1]}={_masked(found[2])}", text)
    return _JWT.sub(TOKEN, text)


def _masked(value: str) -> str:
    return value if value in _throw_away else "***"


def _mask_header(name: str, value: str) -> str:
    if name.lower() == "authorization":
        scheme, _, _ = value.partition(" ")
        return f"{scheme} {TOKEN}"
    if name.lower() == "sec-websocket-protocol":
        return _BEARER.sub(rf"\1{TOKEN}", value)
    return mask(value)


@dataclass(frozen=True)
class Body:
    """The beginning of a body, masked: `text` is None when it is not UTF-8 text.

    `program` is a Python expression for the whole body, if one is short enough to paste.
    """

    text: str | None
    size: int
    program: str = ""

    @classmethod
    def of(cls, data: bytes, *, to_make: bool = False) -> Body:
        """Return the readable beginning of `data`, and a program that makes all of it."""
        program = _program(data) if to_make else ""
        start = data[:_KEPT]
        try:
            # The cut may be in the middle of a character.
            text = start.decode("utf-8") if len(data) <= _KEPT else start.decode("utf-8", "ignore")
        except UnicodeDecodeError:
            return cls(None, len(data), program)
        if not all(character.isprintable() or character in "\n\r\t" for character in text):
            return cls(None, len(data), program)
        return cls(mask(text)[:_SHOWN], len(data), program)

    @property
    def whole(self) -> bool:
        """Whether `text` is all of it."""
        return self.text is not None and self.size <= _KEPT and len(self.text) < _SHOWN

    def __str__(self) -> str:
        if self.text is None:
            return f"({self.size} bytes, not text)"
        return self.text if self.whole else f"{self.text}… ({self.size} bytes in all)"

    def briefly(self) -> str:
        """Return its beginning on one line."""
        if self.text is None:
            return str(self)
        text = _REPEATED.sub(lambda found: f"{found[1] * 3}…", " ".join(self.text.split()))
        is_short = self.whole and len(text) <= _BRIEFLY and "…" not in text
        return text if is_short else f"{text[:_BRIEFLY]}… ({self.size} bytes in all)"


def _program(data: bytes) -> str:
    """Return a Python expression for a body, or empty if it would be long."""
    if not data or len(data) > _LONGEST_MADE:
        return ""
    try:
        text = mask(data.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(data) if len(data) * 4 <= _PASTED else ""
    parts: list[str] = []
    at = 0
    for found in _REPEATED.finditer(text):
        parts += [repr(text[at : found.start()])] if found.start() > at else []
        parts.append(f"{found[1]!r} * {len(found[0])}")
        at = found.end()
        if len(parts) > _SHOWN:
            return ""
    parts += [repr(text[at:])] if text[at:] else []
    program = f"({' + '.join(parts)}).encode()"
    return program if len(program) <= _PASTED else ""


@dataclass(frozen=True)
class Asking:
    """A request; `log_from` is the length of the server's log before it."""

    method: str
    url: str
    log_from: int

    def __str__(self) -> str:
        return f"{self.method} {path_of(self.url)}"


def path_of(url: str) -> str:
    """Return the path and the query of a URL."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; without an answer `problem` gives the reason.

    `log_from` is the length of the server's log before the request, `sign_in` the shell commands
    that set `$TOKEN`.
    """

    server: Server
    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: Body
    status: int | None
    response_headers: tuple[tuple[str, str], ...]
    response_body: Body
    problem: str
    log_from: int = 0
    sign_in: tuple[str, ...] = ()

    def sent(self) -> str:
        """Return the request on one line: method, path, form of its token, body."""
        words = [self.method, path_of(self.url)]
        for name, value in self.request_headers:
            if name.lower() == "authorization":
                words.append(f"({name}: {value})")
        if self.request_body.size:
            words.append(self.request_body.briefly())
        return " ".join(words)

    def answered(self) -> str:
        """Return the answer on one line: status and body."""
        if self.status is None:
            return f"no answer: {self.problem}"
        return f"{self.status} {self.response_body.briefly()}".rstrip()

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
        """Return shell commands that send the same request, after signing in as the same user.

        If the tests do not know the user's password, the reader has to set `$TOKEN`.
        """
        return "\n".join([*self.sign_in, self.command("-i")])

    def command(self, *flags: str, leave_out: Collection[str] = ()) -> str:
        """Return the shell command that sends this request alone, without some headers."""
        words, before = self._words(flags, {*_CURL_SETS, *leave_out}), ""
        if self.request_body.whole and self.request_body.size:
            words += ["--data-raw", shlex.quote(str(self.request_body))]
        elif self.request_body.program:
            program = f"import sys; sys.stdout.buffer.write({self.request_body.program})"
            before = f"python3 -c {shlex.quote(program)} | "
            words += ["--data-binary", "@-"]
        elif self.request_body.size:
            kind = "binary" if self.request_body.text is None else "long"
            words.append(f"--data-binary @body  # {kind} body, {self.request_body.size} bytes")
        return before + " ".join(words)

    def _words(self, flags: Iterable[str], leave_out: Collection[str]) -> list[str]:
        words = ["curl", *flags]
        if self.method != "GET":
            words += ["-X", self.method]
        words.append(shlex.quote(self.url))
        for name, value in self.request_headers:
            if name.lower() in leave_out:
                continue
            header = f"{name}: {value}"
            # Double quotes, so that the shell puts the token in.
            words += ["-H", f'"{header}"' if TOKEN in value else shlex.quote(header)]
        return words


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
FRAMES: deque[str] = deque(maxlen=30)  # frames of WebSockets, a line each
UNANSWERED: dict[int, Asking] = {}  # the oldest first
_numbers = itertools.count()

# Only a grade fills these.
_throw_away: set[str] = set()  # passwords, in each spelling in which they are sent
_registrations: dict[str, str] = {}  # user name → the command that registers it
_sign_ins: dict[str, tuple[str, ...]] = {}  # token → the commands that get one like it
_is_grading = False
_never_shown: Collection[str] = ()


def _no_log() -> int:
    return 0


_log_size: Callable[[], int] = _no_log
_MADE_BY_THE_TEST = "# Set TOKEN first: the test made a token that no sign-in returns."
_OF_SOMEBODY = ("authorization",)
_READ_TOKEN = "import json, sys; print(json.load(sys.stdin)['access_token'])"


def show_throw_away_passwords(log_size: Callable[[], int], secrets: Collection[str] = ()) -> None:
    """From now on show passwords of users that the tests register, but never one of `secrets`.

    `log_size` tells how long the server's log is.
    """
    global _is_grading, _never_shown, _log_size
    _is_grading, _never_shown, _log_size = True, tuple(secrets), log_size


def forget() -> None:
    """Forget the exchanges of the last test; its users stay, since other tests may use them."""
    RECENT.clear()
    FRAMES.clear()
    UNANSWERED.clear()


def throw_away(password: Any) -> None:
    """Store a password that the tests invented."""
    if _is_grading and isinstance(password, str) and password and password not in _never_shown:
        escaped = json.dumps(password)[1:-1], json.dumps(password, ensure_ascii=False)[1:-1]
        try:
            quoted = (quote(password), quote_plus(password))
        except UnicodeEncodeError:  # half a surrogate pair
            quoted = ("", "")
        _throw_away.update({password, *escaped, *quoted} - {""})


def note_registration(username: Any, registration: Exchange) -> None:
    """Store how a user was registered, for a person who repeats a request."""
    if _is_grading and isinstance(username, str):
        _registrations[username.lower()] = registration.command(
            *("-s", "-o", "/dev/null"), leave_out=_OF_SOMEBODY
        )


def throw_away_of(form: Mapping[str, str] | bytes | None) -> str:
    """Store the password of a form if the tests registered its user, and return the user's name.

    The name is empty otherwise, since the password may be a real one.
    """
    fields = _fields_of(form)
    username = fields.get("username", "").lower()
    if username not in _registrations:
        return ""
    throw_away(fields.get("password"))
    return username


def _fields_of(form: Mapping[str, str] | bytes | None) -> Mapping[str, str]:
    if not isinstance(form, bytes):
        return form or {}
    try:
        return {name: values[0] for name, values in parse_qs(form.decode()).items()}
    except UnicodeDecodeError:
        return {}


def note_sign_in(token: Any, form: Mapping[str, str] | bytes | None, sign_in: Exchange) -> None:
    """Store how a token was obtained, for a person who repeats a request."""
    fields = _fields_of(form)
    if not (_is_grading and isinstance(token, str) and fields):
        return
    username = fields.get("username", "")
    if fields.get("password") not in _throw_away:
        _sign_ins[token] = (f"# Set TOKEN first: sign in as {shlex.quote(username)}.",)
        return
    registered = _registrations.get(username.lower())
    asked = sign_in.command("-s", leave_out=_OF_SOMEBODY)
    commands = (f'TOKEN=$({asked} | python3 -c "{_READ_TOKEN}")',)
    _sign_ins[token] = (registered, *commands) if registered else commands


def asking(method: str, url: str) -> int:
    """Record a request that is sent; return its number for `remember`."""
    number = next(_numbers)
    UNANSWERED[number] = Asking(method, mask(url), _log_size())
    return number


class FrameLog(logging.Handler):
    """Stores the frames that `websockets` logs for the report of this test, with secrets masked."""

    def emit(self, record: logging.LogRecord) -> None:
        """Store a line for a frame that was sent (`>`) or received (`<`)."""
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
    number: int | None = None,
    username: str = "",
) -> Exchange:
    """Store an exchange for the report of this test and return it, with secrets masked.

    `number` comes from `asking`; `username` is the user who signs in with it, if the tests
    registered one.
    """
    request_headers = tuple(request_headers)
    asked = UNANSWERED.pop(number, None) if number is not None else None
    exchange = Exchange(
        server=server,
        method=method,
        url=mask(url),
        request_headers=tuple((name, _mask_header(name, value)) for name, value in request_headers),
        request_body=Body.of(request_body, to_make=_is_grading),
        status=status,
        response_headers=tuple((name, mask(value)) for name, value in response_headers),
        response_body=Body.of(response_body),
        problem=problem,
        log_from=asked.log_from if asked else _log_size(),
        sign_in=_sign_in_of(request_headers) + _registration_of(username),
    )
    RECENT.append(exchange)
    return exchange


def _registration_of(username: str) -> tuple[str, ...]:
    return (_registrations[username],) if username in _registrations else ()


def _sign_in_of(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    for name, value in headers:
        scheme, _, token = value.partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer" and _is_grading:
            return _sign_ins.get(token, (_MADE_BY_THE_TEST,))
    return ()


def report_sections() -> list[tuple[str, str]]:
    """Return titles and texts with the exchanges of this test, for a failure report."""
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
    return [*sections, ("End of the server's log", log)] if log else sections
