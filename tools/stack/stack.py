"""Starting the parts in order, each wave when the one before it is ready; ending them backwards.

Promises: after `stop` or `end_at_once` no process of it is left, whatever state it was in.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from course.catalog.stages import CourseError
from tools.stack.part import Part
from tools.stack.parts import APPLICATION, MIGRATION, MONITORING, SERVERS, Parts, Ports
from tools.stack.place import Place

STARTS_WITHIN = 90.0  # seconds, for one wave, on a machine that is busy
# After how many seconds of a stop what is left of a wave is killed. An API process takes up to 19.
_STOPS_WITHIN = {MONITORING: 4.0, APPLICATION: 24.0, MIGRATION: 24.0, SERVERS: 28.0}
_LOOK_EVERY = 0.1
_LAST_LINES = 15
# Below the ports that systems lend to outgoing connections, which may take one before its server.
_PORTS = range(20_000, 32_000)


class DidNotStart(CourseError):
    """A part ended, or was not ready in time; the text has the end of its log."""

    def __init__(self, part: Part) -> None:
        code = part.process.exit_code
        happened = "was not ready in time" if code is None else f"ended with exit code {code}"
        tail = "\n".join(part.process.log_text().splitlines()[-_LAST_LINES:])
        super().__init__(f"{part.name} {happened}. Its log ends:\n{tail or '(nothing)'}")


class Stack:
    """All parts, in a directory, on ports from `first_port` on (0: on any).

    `hurry` tells when not to wait any more: a start is given up, an end is at once. With `forked`
    the application's processes are forks, which start quickly (`course/harness/forks.py`).
    """

    def __init__(
        self,
        directory: Path,
        *,
        first_port: int,
        with_prometheus: bool = True,
        forked: bool = False,
    ) -> None:
        ports = Ports.from_first(first_port or _free_ports())
        _check_free(ports)
        self._place = Place(directory)
        try:
            self.parts = Parts(self._place, ports, with_prometheus=with_prometheus, forked=forked)
        except CourseError:
            self._place.leave()
            raise
        self.secrets_file = self._place.secrets_file
        self._ended: set[str] = set()

    def start(self, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Start everything; return whether it all runs: false when there was a hurry.

        Raises `DidNotStart`; what runs by then has to be stopped.
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
        """Return when a part that was started is ready; false when there was a hurry."""
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
        """Return the parts that have ended since they were last asked for, by whatever."""
        down = {part.name for part in self.parts.all if _has_ended(part)}
        news, self._ended = down - self._ended, down
        return [part for part in self.parts.all if part.name in news]

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """End everything in good order, the last wave first; at once when there is a hurry."""
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
                part.process.end()  # also what it may have left behind in its group
        self._place.leave()

    def end_at_once(self) -> None:
        """End everything as a crash would, except that PostgreSQL gives its memory back."""
        self.stop(lambda: True)


def _has_ended(part: Part) -> bool:
    return part.wave != MIGRATION and part.process.is_running and not part.is_up


def _check_free(ports: Ports) -> None:
    """Raise `CourseError` that names the port which somebody else has, and what it is for."""
    for name, port in vars(ports).items():
        with socket.socket() as probe:
            # As servers do: a port that was left a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError) as error:
                raise CourseError(
                    f"port {port} (for {name.replace('_', '-')}) cannot be had: {error}\n"
                    f"Take six others in a row: --port {port + 100}"
                ) from error


def _free_ports() -> int:
    """Return the first of some free ports in a row, which no outgoing connection will be given."""
    while True:
        first = secrets.choice(_PORTS)
        try:
            _check_free(Ports.from_first(first))
        except CourseError:
            continue
        return first
