"""How the log looks: a line of JSON for a machine, or a line for a person.

Promises: all that is logged by the server, by us and by the libraries has one form and goes to
standard output; a line break in a message cannot forge a line. uvicorn's own lines about requests
are replaced by those of `app/middleware/observe.py`. Its parent process with `--workers` is not
ours to set up.

structlog takes at least twice as long for a line that comes by `logging`, as all of these do: see
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
from app.request_id import current_request_id

LogFormat = Literal["json", "console"]


@lru_cache(maxsize=1)
def in_seconds(seconds: int) -> str:
    """Return a time without its fraction: many lines have the same."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_json(line: Mapping[str, object]) -> str:
    """Return a line in ASCII, so that it can be written whatever the encoding of the output is."""
    try:
        return to_json(line, ensure_ascii=True, fallback=str).decode()
    except PydanticSerializationError:  # half a surrogate pair, which this knows no word for
        return json.dumps(line, default=str)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. The fields of `extra={"fields": …}` stand beside the rest."""
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
    """The line that uvicorn would write, with what a person looks for."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and after it a traceback if there is one."""
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
    """Drops uvicorn's lines about WebSockets: they hold addresses, and `observe.py` has ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is about something else."""
        message = str(record.msg)
        return '"WebSocket %s"' not in message and not message.startswith("connection ")


def set_up_logs(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Send all logs of this process to standard output in this format."""
    skip_unused_fields()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # of libraries only what is wrong
    logging.captureWarnings(True)
    for name in ("app", "celery", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(WithoutSocketLines())
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


def skip_unused_fields() -> None:
    """Have no record of this process filled with what no line of ours shows.

    For each record CPython's `logging` searches the stack for the file and line of the call, and
    asks for thread, process and task. Its documentation names the switches, one of them private,
    and Python 3.11 has no public one: https://docs.python.org/3/howto/logging.html#optimization
    """
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def set_up_server_logs() -> None:
    """Set up the logs as the settings say. If those are wrong, the start will tell."""
    try:
        log_format = load_settings().log_format
    except StartupError:
        log_format = "console"
    set_up_logs(log_format)
