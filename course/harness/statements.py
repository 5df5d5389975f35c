"""Records the SQL of a server: the app runs unchanged, under a program that logs its statements."""

from __future__ import annotations

import json
from pathlib import Path

from course.harness.server import LaunchedServer

_LAUNCHER = """
import json, logging, sys
import uvicorn

class Notebook(logging.Handler):
    def emit(self, record):
        text = record.getMessage()
        if not text.startswith("["):  # those are the parameters
            with open(sys.argv[3], "a", encoding="utf-8") as notes:
                notes.write(json.dumps(text) + "\\n")

logger = logging.getLogger("sqlalchemy.engine")
logger.setLevel(logging.INFO)
logger.addHandler(Notebook())
uvicorn.run("app.main:app", app_dir=sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]))
"""


class Statements:
    """The statements of a server, which must not run yet."""

    def __init__(self, server: LaunchedServer, stage_directory: Path, directory: Path) -> None:
        script, self._notes = directory / "launcher.py", directory / "statements.jsonl"
        script.write_text(_LAUNCHER, encoding="utf-8")
        python = server.command[0]
        server.command = (python, str(script), str(stage_directory), "{port}", str(self._notes))

    def count(self) -> int:
        """Return the number of statements so far."""
        return len(self._lines())

    def since(self, count: int) -> list[str]:
        """Return the statements after the first `count`, each in one line."""
        return [" ".join(json.loads(line).split()) for line in self._lines()[count:]]

    def _lines(self) -> list[str]:
        return self._notes.read_text(encoding="utf-8").splitlines()
