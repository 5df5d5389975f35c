"""Runs the production topology on this machine, without Docker, until Ctrl-C.

    python3 noxfile.py stack                          the API on ports 8000 and 8001
    python3 noxfile.py stack --port 9000           six ports from 9000 on
    python3 noxfile.py stack --data DIRECTORY      kept there, instead of in .stack
    python3 noxfile.py stack --no-restart          a part that ends stays down

PostgreSQL and a Redis-compatible server (both from PyPI), the migration, two API processes, a
worker, beat, and Prometheus if it is installed. There is no gateway: two addresses lead to the same
service. Ctrl-C, SIGTERM and a closed terminal stop everything in order, in less than 30 seconds; a
second Ctrl-C stops it at once. Data is kept for the next start. A part that ends by itself starts
again, and lines say so. Type the name of a part and Enter to kill it. `stack.log` has all lines.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from course.catalog.command import run
from tools.stack.control import Restarts, kill, typed_lines
from tools.stack.stack import Stack
from tools.stack.terminal import Terminal

_LOOK_EVERY = 0.25  # seconds
_SAME_WISH = 1.0  # seconds: a closed terminal may send the signal more than once
_ASKED_TO_HURRY = 130


class Wishes:
    """Counts how often the user or the system has asked to stop."""

    def __init__(self) -> None:
        self._first_at = 0.0
        self._parent = os.getppid()
        self.end = False
        self.hurry = False
        numbers = [signal.SIGINT, signal.SIGTERM]
        # With `nohup` it must outlive the terminal and the process that started it.
        self._is_alone = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        if not self._is_alone:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            signal.signal(number, self._note)

    def look(self) -> bool:
        """Return whether to stop, also because nox, which started this process, was killed."""
        if not self._is_alone and os.getppid() != self._parent:
            self.end = True
        return self.end

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if not self.end:
            self.end, self._first_at = True, time.monotonic()
        elif time.monotonic() - self._first_at > _SAME_WISH:
            self.hurry = True


def main(arguments: Sequence[str], root: Path) -> int:
    """Run until it is stopped; raise `CourseError` when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8000,
        help="the first of six ports; default: %(default)s; 0: any",
    )
    parser.add_argument(
        "--data", type=Path, default=root / ".stack", help="where it is kept; default: .stack"
    )
    parser.add_argument(
        "--restart",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start a part again after it has ended; default: yes",
    )
    options = parser.parse_args(arguments)
    wishes = Wishes()
    print("Starting PostgreSQL, Redis, the API and its workers …", flush=True)
    stack = Stack(options.data, first_port=options.port)
    try:
        if stack.start(wishes.look):
            _serve(stack, wishes, Restarts(stack.start_again) if options.restart else None)
    finally:
        began = time.monotonic()
        stack.stop(lambda: wishes.hurry)
    how = "at once" if wishes.hurry else "in order"
    print(f"Everything has ended, {how}, in {time.monotonic() - began:.1f} s.", flush=True)
    return _ASKED_TO_HURRY if wishes.hurry else 0


def _serve(stack: Stack, wishes: Wishes, restarts: Restarts | None) -> None:
    """Show the logs until the user stops it or closes the output."""
    try:
        _show(stack, wishes, restarts)
    except OSError:
        # Nobody reads the output any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show(stack: Stack, wishes: Wishes, restarts: Restarts | None) -> None:
    terminal = Terminal(stack.parts.all, stack.log_file)
    terminal.show_table(relative_to=Path.cwd())
    one, two = (part.address for part in stack.parts.apis)
    print(f"Open {one}/docs or {two}/chat: both addresses are the same service.")
    print(f"The administrator is `admin`; the password is in {stack.secrets_file}.")
    if not shutil.which("prometheus"):
        print("Prometheus is not on the PATH, so the stack runs without it.")
    print("To kill a part, type its name and Enter.")
    print("Ctrl-C ends all of it; stored data stays.\n", flush=True)
    typed = typed_lines()
    while not wishes.look():
        terminal.show_new_lines()
        while not typed.empty():
            terminal.say(kill(stack.parts.all, typed.get()))
        for part in stack.ended():
            happened = f"{part.name} has ended, with exit code {part.process.exit_code}"
            if restarts is None:
                terminal.say(f"{happened}, and stays down.")
            else:
                terminal.say(f"{happened}. It starts again in {restarts.plan(part):.0f} s.")
        for line in restarts.look() if restarts else ():
            terminal.say(line)
        time.sleep(_LOOK_EVERY)
    terminal.say("Stopping everything in order. Press Ctrl-C again to stop at once.")


if __name__ == "__main__":
    sys.exit(run(main))
