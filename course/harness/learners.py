"""A learner's solution as a server: it is started with the learner's command and directory.

The command gets a free port in `{port}` and in `PORT`, and the environment that it is given here.
Tests send it requests like a server that already runs, and they may restart and kill it. They do
not read its files and its log.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from course.harness.server import AttachedServer, LaunchedServer

# A server from a command can be restarted; a server at a URL cannot.
NEEDS_CMD = "not looked at: needs --cmd"


@dataclass(frozen=True)
class Solution:
    """How a solution is started; `port` is its fixed port, if it has one."""

    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    port: int | None = None

    @classmethod
    def read(cls, file: Path) -> Solution:
        """Return the values that `write` has written."""
        fields = json.loads(file.read_text(encoding="utf-8"))
        return cls(**fields | {"command": tuple(fields["command"])})

    def write(self, file: Path) -> None:
        """Write it to a file that only we can read, since the environment may hold a secret."""
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


class LearnersServer(LaunchedServer):
    """A running solution; its log is in `directory`."""

    def __init__(self, solution: Solution, directory: Path) -> None:
        super().__init__(
            solution.command, directory, working_directory=Path(solution.directory).resolve()
        )
        self._environment = dict(solution.environment)
        self._port = solution.port

    @property
    def has_users(self) -> bool:
        """Whether todos need a token here."""
        return AttachedServer(self.base_url).has_users

    def environment(self) -> dict[str, str]:
        """Return the settings of the solution, and its port."""
        return self._environment | self.settings | {"PORT": str(self._port)}

    def _start_on(self, port: int, within: float) -> None:
        self._port = port  # the environment names it
        super()._start_on(port, within)


def split_command(command: str) -> Sequence[str]:
    """Return the words of a command line, split like the shell of this system."""
    if os.name == "nt":
        return [word.strip('"') for word in shlex.split(command, posix=False)]
    return shlex.split(command)
