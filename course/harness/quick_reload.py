"""`uvicorn --reload`, but each restart is a fork of a process that has imported the packages.

    python -P quick_reload.py app.main:app --port 8000 --reload --reload-dir app

Most of a restart is the import of FastAPI, SQLAlchemy and the like, which no edit of a lesson
changes. uvicorn itself watches, stops and starts, and prints every line. The program runs in a
stage's environment and directory. This works on Linux only; elsewhere restarts are as slow as for a
reader.
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
    """Import the app's packages, then run uvicorn."""
    if sys.platform == "linux":
        runpy.run_path(str(FORK_SERVER))["import_packages"](Path("app"))
        starting: Any = importlib.import_module("uvicorn._subprocess")
        starting.spawn = multiprocessing.get_context("fork")
    sys.argv[0] = "uvicorn"
    sys.path.insert(0, "")  # like `python -m uvicorn`
    importlib.import_module("uvicorn").main()


if __name__ == "__main__":
    main()
