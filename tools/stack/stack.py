"""Starts the parts in waves, each when the wave before it is ready; stops them in reverse order.

After `stop` or `end_at_once` no process of the stack is left, in whatever state it was.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import fields
from itertools import groupby
from pathlib import Path

from course.catalog.stages import CourseError
from course.harness.ports import free_ports
from tools.stack.part import Part
from tools.stack.parts import APPLICATION, MIGRATION, MONITORING, SERVERS, Parts, Ports
from tools.stack.place import Place

STARTS_WITHIN = 90.0  # seconds for one wave on a busy machine
# Seconds of a stop after which the rest of a wave is killed. An API process takes up to 19.
_STOPS_WITHIN = {MONITORING: 4.0, APPLICATION: 24.0, MIGRATION: 24.0, SERVERS: 28.0}
_LOOK_EVERY = 0.1
_LAST_LINES = 15


class DidNotStart(CourseError):
    """A part ended, or was not ready in time; the message has the end of its log."""

    def __init__(self, part: Part) -> None:
        code = part.process.exit_code
        happened = "was not ready in time" if code is None else f"ended with exit code {code}"
        tail = "\n".join(part.process.log_text().splitlines()[-_LAST_LINES:])
        super().__init__(f"{part.name} {happened}. Its log ends:\n{tail or '(nothing)'}")


class Stack:
    """All parts, in a directory, on ports from `first_port` on (0: on any).

    When `hurry` is set, a start is given up and a stop kills at once. With `forked` the
    application's processes are forks, which start faster (`course/harness/forks.py`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        first_port: int,
        with_prometheus: bool = True,
        forked: bool = False,
    ) -> None:
        ports = Ports.from_first(first_port or free_ports(len(fields(Ports))))
        _check_free(ports)
        self._place = Place(directory)
        try:
            self.parts = Parts(self._place, ports, with_prometheus=with_prometheus, forked=forked)
        except CourseError:
            self._place.leave()
            raise
        self.secrets_file = self._place.secrets_file
        self.log_file = self._place.logs / "stack.log"
        self._ended: set[str] = set()

    def start(self, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Start everything; return false when `hurry` interrupted the start.

        Raises `DidNotStart`; the caller then stops the parts that run.
        """
        for _, wave in groupby(self.parts.all, key=lambda part: part.wave):
            if hurry():
                return False
            parts = list(wave)
            for part in parts:
                part.start()
            for part in parts:
                if not self.wait_until_ready(part, hurry):
                    return False
        return True

    def wait_until_ready(self, part: Part, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Wait until a started part is ready; return false when `hurry` interrupted that."""
        deadline = time.monotonic() + STARTS_WITHIN
        while not part.is_ready():
            if hurry():
                return False
            ended = part.process.exit_code is not None and not part.is_ready()
            if ended or time.monotonic() > deadline:
                raise DidNotStart(part)
            time.sleep(_LOOK_EVERY)
        return True

    def ended(self) -> list[Part]:
        """Return the parts that have ended since the last call, for whatever reason."""
        down = {part.name for part in self.parts.all if _has_ended(part)}
        news, self._ended = down - self._ended, down
        return [part for part in self.parts.all if part.name in news]

    def start_again(self, part: Part) -> None:
        """Start a part that has ended; `ended` reports its next end, too."""
        part.start()
        self._ended.discard(part.name)

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop everything cleanly, the last wave first; kill at once when `hurry` is set."""
        began = time.monotonic()
        backwards = reversed(self.parts.all)
        for number, wave in groupby(backwards, key=lambda part: part.wave):
            parts = list(wave)
            for part in parts:
                part.ask_to_stop()
            deadline = began + _STOPS_WITHIN[number]
            while any(part.is_up for part in parts):
                if hurry() or time.monotonic() > deadline:
                    break
                time.sleep(_LOOK_EVERY)
            for part in parts:
                part.process.end()  # also the rest of its group
        self._place.leave()

    def end_at_once(self) -> None:
        """Kill everything like a crash, except that PostgreSQL frees its shared memory."""
        self.stop(lambda: True)


def _has_ended(part: Part) -> bool:
    return part.wave != MIGRATION and part.process.is_running and not part.is_up


def _check_free(ports: Ports) -> None:
    """Raise `CourseError` for a port that another program uses; it names the port and its part."""
    for name, port in vars(ports).items():
        with socket.socket() as probe:
            # Like servers: a port that was closed a moment ago counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError) as error:
                raise CourseError(
                    f"port {port} (for {name.replace('_', '-')}) is not available: {error}\n"
                    f"Choose six others in a row: --port {port + 100}"
                ) from error
