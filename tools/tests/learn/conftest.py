"""The starter of stage 1, and learners who work in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from course.catalog.environment import stage_python
from course.catalog.stages import load_course
from tools.learn.starter import make_starter
from tools.tests.learn.learner import FIRST, Learner


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A starter of stage 1 whose environment is the course's own."""
    made = tmp_path / "my-stage1"
    make_starter(load_course(), FIRST, made)
    (made / ".venv").symlink_to(stage_python(FIRST).parents[1], target_is_directory=True)
    return made


@pytest.fixture
def learn(directory: Path) -> Iterator[Callable[..., Learner]]:
    """A maker of learners in that directory."""
    learners: list[Learner] = []

    def begin(*options: str, **how: Any) -> Learner:
        learners.append(Learner(directory, *options, **how))
        return learners[-1]

    yield begin
    for learner in learners:
        learner.end()
