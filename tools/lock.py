"""Resolve what every stage, the tests and the tools require into one `constraints.txt`.

The result is universal (Python 3.11 to 3.14, every platform) and holds names and versions only, no
address of an index: it works with whichever index or mirror the reader has.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tools.course import ROOT, load_course
from tools.environment import CONSTRAINTS


def requirement_files() -> list[str]:
    """Return every requirements file of the course, relative to its root."""
    stages = [f"{stage.directory}/requirements.txt" for stage in load_course()]
    return [*stages, "tests/requirements.txt", "tools/requirements.txt"]


def main(options: list[str]) -> int:
    """Write `constraints.txt` (`--upgrade`: take newer versions); return uv's exit code."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
        *("--universal", "--python-version", "3.11", "--no-emit-index-url"),
        *("--custom-compile-command", "python3 noxfile.py -s lock"),
        *("--output-file", CONSTRAINTS.name, *options, *requirement_files()),
    ]
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
