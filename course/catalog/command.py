"""How every tool ends: one line for a person's mistake, no traceback, no noise on a closed pipe."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from course.catalog.stages import ROOT, CourseError

# What a shell reports for a program that died of SIGPIPE, which is what `| head` does to it.
CLOSED_PIPE = 141
INTERRUPTED = 130


def run(
    main: Callable[[Sequence[str], Path], int],
    arguments: Sequence[str] | None = None,
    root: Path = ROOT,
) -> int:
    """Return `main`'s exit status, or 2 for a `CourseError`, which is printed to stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show an arrow
    try:
        status = main(sys.argv[1:] if arguments is None else arguments, root)
        sys.stdout.flush()
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The interpreter flushes stdout once more when it ends: give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except KeyboardInterrupt:
        print("interrupted: run the same command again", file=sys.stderr)
        return INTERRUPTED
    return status
