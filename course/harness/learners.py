"""Somebody's own solution as a server: started by a command of theirs, in a directory of theirs.

The command gets a free port in `{port}` and in `PORT`, and the environment that it is given here.
It is asked over HTTP like a server that is up already, and it may be restarted and killed; what
its files and its log hold is nobody's business but theirs.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from course.harness.server import AttachedServer, LaunchedServer

# A command can be run once more, to restart that server; one at a URL is somebody else's.
NEEDS_CMD = "not looked at: needs --cmd"


@dataclass(frozen=True)
class Solution:
    """How a solution is started: `port` is one that it insists on, if it does."""

    command: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]
    port: int | None = None

    @classmethod
    def read(cls, file: Path) -> Solution:
        """Return what `write` wrote."""
        fields = json.loads(file.read_text(encoding="utf-8"))
        return cls(**fields | {"command": tuple(fields["command"])})

    def write(self, file: Path) -> None:
        """Keep it in a file that only we can read: the environment may hold a secret."""
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


class LearnersServer(LaunchedServer):
    """A solution that runs, its log kept in `directory`."""

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
        """Return what the solution was given, and its port."""
        return self._environment | self.settings | {"PORT": str(self._port)}

    def _start_on(self, port: int, within: float) -> None:
        self._port = port  # the environment names it
        super()._start_on(port, within)


def split_command(command: str) -> Sequence[str]:
    """Return the words of a command line as the shell of this system reads them."""
    if os.name == "nt":
        return [word.strip('"') for word in shlex.split(command, posix=False)]
    return shlex.split(command)
