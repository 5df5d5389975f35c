"""A pytest inside the running one, with the harness loaded: for tests that read its report.

A process of its own would import everything again, which takes seconds. Each run leaves nothing
behind: its modules are forgotten, and servers that its tests started have to end with them.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

# No plugin but the harness: the outer run has its own clock, order and workers.
PLUGINS = [
    *("-p", "tests.harness.plugin", "-p", "no:cacheprovider"),
    *(
        word
        for name in ("randomly", "timeout", "xdist", "faulthandler")
        for word in ("-p", f"no:{name}")
    ),
]
TEST_FILE = "test_sample.py"


def run_pytest(directory: Path, source: str, *options: str) -> str:
    """Run pytest on a test file with this source; return what it printed."""
    test_file = directory / TEST_FILE
    test_file.write_text(source, encoding="utf-8")
    printed = io.StringIO()
    known = set(sys.modules)
    try:
        with redirect_stdout(printed), redirect_stderr(printed), pytest.MonkeyPatch.context() as m:
            m.setenv("COLUMNS", "200")
            m.syspath_prepend(directory)
            pytest.main([*PLUGINS, *options, "--rootdir", str(directory), str(test_file)])
    finally:
        for name in sys.modules.keys() - known:
            if name.rpartition(".")[2] == Path(TEST_FILE).stem:
                del sys.modules[name]
    return printed.getvalue()
