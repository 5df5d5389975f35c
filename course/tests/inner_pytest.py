"""Runs pytest inside the running one, with the harness loaded, for tests that read its output.

A separate process would import everything again, which takes seconds. After each run its modules
are removed, and the servers of its tests must have ended.
"""

from __future__ import annotations

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

# Only the harness as a plugin, since the outer run has its own clock, order and workers.
HARNESS = ("-p", "course.harness.plugin", "-p", "no:cacheprovider")
WITHOUT = tuple(
    word
    for name in ("randomly", "timeout", "xdist", "faulthandler")
    for word in ("-p", f"no:{name}")
)
TEST_FILE = "test_sample.py"


def run_pytest(directory: Path, source: str, *options: str) -> str:
    """Run pytest on a test file with this source; return its output."""
    (directory / TEST_FILE).write_text(source, encoding="utf-8")
    return run_in(directory, *WITHOUT, *options, TEST_FILE)


def run_in(directory: Path, *arguments: str) -> str:
    """Run pytest in a directory of tests; return its output."""
    printed = io.StringIO()
    known = set(sys.modules)
    try:
        with (
            pytest.MonkeyPatch.context() as changed,
            chdir(directory),
            redirect_stdout(printed),
            redirect_stderr(printed),
        ):
            changed.setenv("COLUMNS", "200")
            changed.setattr(sys, "path", list(sys.path))
            pytest.main([*HARNESS, "--rootdir", str(directory), *arguments])
    finally:
        for name in sys.modules.keys() - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(directory):
                del sys.modules[name]
    return printed.getvalue()
