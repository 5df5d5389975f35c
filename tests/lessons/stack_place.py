"""A learner's workplace for a chapter of the capstone: a clone, and the stack beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from course.catalog.stages import ROOT, Stage
from course.harness.lesson import (
    Shell,
    changed_files,
    clone_course,
    make_edits,
    shell_environment,
)
from course.harness.ports import free_ports
from course.harness.signals import interruptible
from course.harness.waiting import eventually

PORTS = 7  # six of the stack, and one for the replica that the learner starts
STARTS_WITHIN = 150.0  # seconds, on a busy machine
STOPS_WITHIN = 60.0
SERVES = "Ctrl-C ends all of it"  # the last line of a successful start
LAST_LINES = 30


class StackPlace:
    """A clone with the stage, and a terminal in it. The stack runs as `noxfile.py stack` does.

    The stack runs the finished code, not that of the clone: edits show in the learner's replica.
    """

    def __init__(self, stage: Stage, directory: Path) -> None:
        clone = clone_course(directory, stage.directory, ".gitignore")
        self._directory = clone / stage.directory
        self._log = directory / "stack.log"
        first = free_ports(PORTS)
        data = clone / ".stack"  # where lessons/setup.sh looks for the secrets
        command = [sys.executable, "-m", "tools.stack", "--port", str(first), "--data", str(data)]
        with self._log.open("wb") as log, interruptible():
            self._stack = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        ports = {str(8000 + number): str(first + number) for number in range(PORTS)}
        self._shell = Shell(self._directory, shell_environment(directory), ports)
        try:
            eventually(self._has_started, within=STARTS_WITHIN)
            assert self._stack.poll() is None, self.log_tail()
        except BaseException:
            self.close()
            raise

    def run(self, script: str) -> tuple[str, int]:
        """Run commands; return their output, stderr included, and the last one's exit status."""
        return self._shell.run(script)

    def edit(self, diff: str) -> None:
        """Make the edit that a chapter shows; raise `AssertionError` if it does not fit."""
        make_edits(diff, self._directory)

    def changed_files(self) -> str:
        """Return the output of `git status`: empty when every edit was undone."""
        return changed_files(self._directory)

    def log_tail(self) -> str:
        """Return the end of the stack's output, which has all of its logs."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:])

    def close(self) -> None:
        """End the shell with its processes, then the stack as by Ctrl-C."""
        self._shell.close()
        if self._stack.poll() is None:
            self._stack.send_signal(signal.SIGINT)
        self._stack.wait(STOPS_WITHIN)

    def _has_started(self) -> bool:
        return SERVES in self._log.read_text("utf-8", "replace") or self._stack.poll() is not None
