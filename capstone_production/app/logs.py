"""The format of the log: JSON for programs, or a line for people.

Promises: all lines of the server, of this app and of the libraries have one format and go to
standard output. A line break in a message cannot forge a line of JSON. The lines of
`app/middleware/observe.py` replace uvicorn's lines about requests. With `--workers`, uvicorn's
parent process does not load this app, so its lines keep their format.

All lines come through `logging`, and structlog takes at least twice as long for such a line: see
the course's decision 9.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from pydantic_core import PydanticSerializationError, to_json

from app.config import load_settings
from app.exceptions import StartupError
from app.problems import current_request_id

LogFormat = Literal["json", "console"]

OUTAGE_ENDS_AFTER = 60  # seconds without a line; Celery tries again at least every 30


@lru_cache(maxsize=1)
def in_seconds(seconds: int) -> str:
    """Return a time without its fraction; the cache helps, since many lines have the same one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_json(line: Mapping[str, object]) -> str:
    """Return a line in ASCII, which every encoding of the output can write."""
    try:
        return to_json(line, ensure_ascii=True, fallback=str).decode()
    except PydanticSerializationError:  # half a surrogate pair, which pydantic cannot serialise
        return json.dumps(line, default=str)


class JsonFormatter(logging.Formatter):
    """Formats each line as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. The fields of `extra={"fields": …}` are added to the object."""
        seconds = in_seconds(int(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().strip(),
        }
        if request_id := current_request_id.get():
            line["request_id"] = request_id
        line.update(getattr(record, "fields", ()))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return as_json(line)


class ConsoleFormatter(logging.Formatter):
    """Formats each line as uvicorn does, with the duration, the client and the user added."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by a traceback if there is one."""
        line = f"{record.levelname + ':':9} {record.getMessage().rstrip()}"
        fields = getattr(record, "fields", None)
        if fields:
            line += f"  {fields['duration_ms']} ms  {fields['client']}"
        if fields and fields["user_id"] is not None:
            line += f"  user {fields['user_id']}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class WithoutSocketLines(logging.Filter):
    """Drops uvicorn's lines about WebSockets: they contain URLs, and `observe.py` has its own."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a line about a WebSocket, True for all others."""
        message = str(record.msg)
        return '"WebSocket %s"' not in message and not message.startswith("connection ")


class OncePerOutage(logging.Filter):
    """Lets the first line about a lost broker pass, and drops its repetitions.

    Celery's beat repeats it every second, each time with its stack; a worker repeats it with each
    attempt to connect. The next outage has a line again, because a minute without one has passed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is the first; shorten it to one line without a traceback."""
        if record.levelno < logging.WARNING:
            return True
        template, now = str(record.msg), time.monotonic()
        is_first = now >= self._quiet_until.get(template, 0)
        self._quiet_until[template] = now + OUTAGE_ENDS_AFTER
        record.msg, record.args = record.getMessage().partition("\n")[0], ()
        record.exc_info = None
        return is_first


def set_up_logs(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Send all logs of this process to standard output in this format."""
    skip_unused_fields()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries log only warnings and errors
    logging.captureWarnings(True)
    for name in ("app", "celery", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(WithoutSocketLines())
    for name in ("celery.beat", "celery.worker.consumer.consumer"):
        logging.getLogger(name).addFilter(OncePerOutage())
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def skip_unused_fields() -> None:
    """Switch off the fields of log records that our formats do not show.

    For each record CPython's `logging` searches the stack for the file and line of the call, and
    reads thread, process and task. Its documentation names these switches. One is private, and
    Python 3.11 has no public one: https://docs.python.org/3/howto/logging.html#optimization
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def set_up_server_logs() -> None:
    """Set up the logs as `LOG_FORMAT` says. The start reports wrong settings later."""
    try:
        log_format = load_settings().log_format
    except StartupError:
        log_format = "console"
    set_up_logs(log_format)
