"""Resolve what every stage, the tests and the tools require into one `constraints.txt`.

The result is universal (Python 3.11 to 3.14, every platform) and holds names and versions only, no
address of an index: it works with any index or mirror. `requirements.lock` repeats the packages of
the capstone's image, with the hashes of their files.
"""

from __future__ import annotations

import os
import subprocess
import sys

from course.catalog.environment import CONSTRAINTS
from course.catalog.stages import ROOT, load_course

IMAGE_PYTHON = "3.13"  # as in the Dockerfile
COMMAND = [
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
    *("--universal", "--no-emit-index-url"),
    *("--custom-compile-command", "python3 noxfile.py lock"),
]


def requirement_files() -> list[str]:
    """Return every requirements file of the course, relative to its root."""
    stages = [f"{stage.directory}/requirements.txt" for stage in load_course()]
    return [*stages, "tests/requirements.txt", "tools/requirements.txt"]


def main(options: list[str]) -> int:
    """Write `constraints.txt` (with `--upgrade`: newer versions); return uv's exit code."""
    files = requirement_files()
    all_stages = ["--python-version", "3.11", "--output-file", CONSTRAINTS.name, *options, *files]
    capstone = load_course()[-1].directory
    image = [
        *("--python-version", IMAGE_PYTHON, "--generate-hashes", "--no-annotate"),
        *("--constraint", CONSTRAINTS.name, "--output-file", f"{capstone}/requirements.lock"),
        f"{capstone}/requirements.txt",
    ]
    return compile_requirements(all_stages) or compile_requirements(image)


def compile_requirements(options: list[str]) -> int:
    """Run uv with the common options and these; return its exit code."""
    environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run([*COMMAND, *options], cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
