"""Runs one command until it ends or is stopped, together with all processes that it started.

Ctrl-C, a SIGTERM and a closed terminal send a SIGTERM to its whole process group. A process that
does not end in time, such as a server that ignores the signal, is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

ENDS_WITHIN = 5.0  # seconds
_LOOKS_EVERY = 0.05
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def run_in_foreground(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str],
    *,
    within: float = ENDS_WITHIN,
) -> int:
    """Return the command's exit code; 130 after a Ctrl-C, 143 after a SIGTERM, as shells do."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    # A signal that is ignored, as under `nohup`, stays ignored.
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, note)
    process = None
    try:
        # The command gets its own group, so a Ctrl-C reaches it once and only through us.
        process = subprocess.Popen(
            command, cwd=directory, env=dict(environment), start_new_session=True
        )
        while not came:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOKS_EVERY)
        _end(process, within)
        return 128 + came[0]
    finally:
        if process is not None:
            _kill_group(process)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes], within: float) -> None:
    """Ask the group to end and wait for it, also for processes whose parent has already ended."""
    if sys.platform == "win32":
        process.terminate()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + within
    while time.monotonic() < until and (process.poll() is None or _is_there(process.pid)):
        time.sleep(_LOOKS_EVERY)


def _is_there(group: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the rest of the group."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
