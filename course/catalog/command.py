"""The end of every tool: one line for a user's mistake, and silence on a closed pipe."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from course.catalog.stages import ROOT, CourseError

# The exit code of a program that SIGPIPE ended, as with `| head`.
CLOSED_PIPE = 141
INTERRUPTED = 130


def run(
    main: Callable[[Sequence[str], Path], int],
    arguments: Sequence[str] | None = None,
    root: Path = ROOT,
) -> int:
    """Return `main`'s exit status, or 2 after printing a `CourseError` to stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show an arrow
    try:
        status = main(sys.argv[1:] if arguments is None else arguments, root)
        sys.stdout.flush()
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The interpreter flushes stdout again at its end, so stdout needs an open target.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt:
        print("interrupted: run the same command again", file=sys.stderr)
        return INTERRUPTED
    return status
