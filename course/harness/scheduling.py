"""How `pytest -n N` hands out tests, and how its workers end.

With `--dist=loadgroup` tests are handed out one by one, and those of a class together: a class
shares what is expensive, a graded solution or a running stack. The marker `xdist_group`, which is
meant for that, has no effect: pytest-xdist 3.8 writes the group into the id of a test in a way that
pytest 9.2 does not read.
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
    """Return our scheduler for `--dist=loadgroup`, none for the other ways."""
    if config.getoption("dist") != "loadgroup":
        return None
    scheduling: Any = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduling._split_scope = scope_of
    return scheduling


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Pass an interruption on to the workers: they end their servers.

    By itself pytest-xdist waits for some seconds and kills a worker in the middle of a test. Where
    SIGINT is ignored, as in the background of a shell, the servers of that test would go on.
    """
    distribution = session.config.pluginmanager.get_plugin("dsession")
    if exitstatus != pytest.ExitCode.INTERRUPTED or distribution is None:
        return
    for gateway in distribution.nodemanager.group:
        with suppress(ProcessLookupError):
            os.kill(gateway._io.popen.pid, signal.SIGTERM)  # for a worker a Ctrl-C, see plugin.py
