"""`uvicorn --reload`, but each restart is a fork of a process that has the libraries already.

    python quick_reload.py app.main:app --port 8000 --reload --reload-dir app

Most of a restart is the import of FastAPI, SQLAlchemy and the like, which no edit of a lesson
changes. The watching, the ends and the starts are uvicorn's own, and so is every line that it
prints. It runs in the environment of a stage, in the stage's directory.
"""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import uvicorn
import uvicorn._subprocess


def imported_modules(package: Path) -> Iterator[str]:
    """Yield what the modules of a package import, except from the package itself."""
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


def main() -> None:
    """Import what the app imports, then be uvicorn."""
    if "fork" in multiprocessing.get_all_start_methods():
        for name in set(imported_modules(Path("app"))):
            if name.partition(".")[0] != "app":
                with suppress(ImportError):  # a lesson may leave a library out
                    importlib.import_module(name)
        uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    sys.argv[0] = "uvicorn"
    sys.path.insert(0, "")  # as `python -m uvicorn` has it
    uvicorn.main()


if __name__ == "__main__":
    main()
