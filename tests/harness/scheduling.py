"""How `pytest -n N --dist=loadgroup` hands out tests: one by one, those of a class together.

A class of tests shares what is expensive: a graded solution, a running stack. The marker
`xdist_group`, which is meant for that, has no effect: pytest-xdist 3.8 writes the group into the id
of a test in a way that pytest 9.2 does not read.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest


def scope_of(test: str) -> str:
    """Return what is handed out as one: the class of a test, or the test itself."""
    name, bracket, variant = test.partition("[")
    owner, _, _ = name.rpartition("::")
    return owner if "::" in owner else f"{name}{bracket}{variant}"


@pytest.hookimpl(optionalhook=True)  # pytest-xdist may be switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Return our scheduler for `--dist=loadgroup`, none for the other ways."""
    if config.getoption("dist") != "loadgroup":
        return None
    scheduling: Any = importlib.import_module("xdist.scheduler").LoadScopeScheduling(config, log)
    scheduling._split_scope = scope_of
    return scheduling
