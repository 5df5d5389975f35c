"""Parts of the stack that end start again, with growing pauses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from course.harness.queue import Process
from course.harness.waiting import eventually
from tools.stack import control
from tools.stack.control import Restarts
from tools.stack.part import Part
from tools.stack.parts import APPLICATION
from tools.stack.stack import Stack


def test_a_part_that_ends_at_once_starts_again_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(control, "_LONGEST_PAUSE", 0.04)
    process = Process([sys.executable, "-c", "print('run')"], {}, tmp_path, tmp_path / "part.log")
    part = Part("part", APPLICATION, process, lambda: False)
    stack = Stack.__new__(Stack)  # without the directory and the programs of a real one
    stack.parts = type("Parts", (), {"all": [part]})()
    stack._ended = set()
    restarts = Restarts(stack.start_again)
    pauses: list[float] = []

    def look() -> bool:
        pauses.extend(restarts.plan(ended) for ended in stack.ended())
        assert list(restarts.look()) == []
        return process.log_text().count("run") >= 5

    part.start()
    assert eventually(look, within=60)
    process.end()
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.04]
