"""`uvicorn --reload`, but each restart is a fork of a process that has the packages already.

    python -P quick_reload.py app.main:app --port 8000 --reload --reload-dir app

Most of a restart is the import of FastAPI, SQLAlchemy and the like, which no edit of a lesson
changes. The watching, the ends and the starts are uvicorn's own, and so is every line that it
prints. It runs in the environment of a stage, in the stage's directory. Linux only: elsewhere the
restarts are as slow as a reader's.
"""

from __future__ import annotations

import importlib
import multiprocessing
import runpy
import sys
from pathlib import Path
from typing import Any

FORK_SERVER = Path(__file__).with_name("fork_server.py")


def main() -> None:
    """Import what the app imports, then be uvicorn."""
    if sys.platform == "linux":
        runpy.run_path(str(FORK_SERVER))["import_packages"](Path("app"))
        starting: Any = importlib.import_module("uvicorn._subprocess")
        starting.spawn = multiprocessing.get_context("fork")
    sys.argv[0] = "uvicorn"
    sys.path.insert(0, "")  # as `python -m uvicorn` has it
    importlib.import_module("uvicorn").main()


if __name__ == "__main__":
    main()
