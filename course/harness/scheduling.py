"""How `pytest -n N` distributes tests, and how its workers end.

With `--dist=loadgroup` tests are distributed one by one, but the tests of a class go together,
since a class shares something expensive: a graded solution or a running stack. The marker
`xdist_group` is made for that but has no effect: pytest 9.2 does not read the group that
pytest-xdist 3.8 writes into a test's id.
"""

from __future__ import annotations

import importlib
import os
import signal
from contextlib import suppress
from typing import Any

import pytest

from course.harness.selection import scope_of


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Return our scheduler for `--dist=loadgroup`, else none."""
    if config.getoption("dist") != "loadgroup":
        return None
    scheduling: Any = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduling._split_scope = scope_of
    return scheduling


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Forward an interrupt to the workers, so that they stop their servers.

    pytest-xdist alone waits some seconds and kills a worker in the middle of a test. If SIGINT is
    ignored, as in the background of a shell, the servers of that test would continue.
    """
    distribution = session.config.pluginmanager.get_plugin("dsession")
    if exitstatus != pytest.ExitCode.INTERRUPTED or distribution is None:
        return
    for gateway in distribution.nodemanager.group:
        with suppress(ProcessLookupError):
            os.kill(gateway._io.popen.pid, signal.SIGTERM)  # for a worker a Ctrl-C, see plugin.py
