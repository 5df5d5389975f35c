"""Rows D.5, D.6 and D.8: one nox session a stage, which runs that stage alone, and CI runs all."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tools.course import ROOT, Stage, load_course

STAGES = load_course()
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


class Sessions:
    """The noxfile's sessions by name, run with a session that only notes the commands."""

    def __init__(self, functions: dict[str, Callable[[Any], None]], default: list[str]) -> None:
        self.functions = functions
        self.default = default

    def commands_of(self, name: str, *arguments: str) -> list[list[str]]:
        """Return the commands that `nox -s name -- arguments` would run."""
        commands: list[list[str]] = []
        session = SimpleNamespace(
            posargs=list(arguments),
            install=lambda *_: None,
            log=lambda *_: None,
            chdir=lambda directory: commands.append(["cd", str(directory)]),
            run=lambda *command, **_: commands.append([str(word) for word in command]),
        )
        self.functions[name](session)
        return commands


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    """The sessions of the noxfile, read without nox and without making an environment."""
    functions: dict[str, Callable[[Any], None]] = {}

    def session(function: Any = None, *, name: str | None = None, **_: Any) -> Any:
        def add(function: Any) -> Any:
            functions[name or function.__name__] = function
            return function

        return add(function) if function else add

    nox = ModuleType("nox")
    vars(nox).update(session=session, options=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "nox", nox)
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    monkeypatch.setattr(noxfile, "stage_python", lambda stage: Path("python-of", stage.name))
    return Sessions(functions, nox.options.sessions)


@each_stage
def test_a_stage_has_a_session_that_runs_its_suites(sessions: Sessions, stage: Stage) -> None:
    suites = [f"tests/{earlier.name}" for earlier in STAGES[: stage.number]]
    again = [also.split() for earlier in STAGES[: stage.number] for also in earlier.also]
    assert sessions.commands_of(stage.name) == [
        ["pytest", f"--stage={stage.number}", *arguments] for arguments in (suites, *again)
    ]
    for suite in suites:
        assert list((ROOT / suite).glob("test_*.py"))


@each_stage
def test_a_learner_runs_one_stage_with_its_own_packages(sessions: Sessions, stage: Stage) -> None:
    moved, served = sessions.commands_of("serve", str(stage.number))
    assert moved == ["cd", stage.directory]
    assert served[:4] == [f"python-of/{stage.name}", "-m", "uvicorn", "app.main:app"]


def test_every_stage_is_checked_unless_one_is_named(sessions: Sessions) -> None:
    assert {stage.name for stage in STAGES} <= set(sessions.default)


def test_ci_runs_every_stage_of_the_course() -> None:
    assert "exec python3 noxfile.py\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "for stage in load_course()" in workflow
    assert "stage: ${{ fromJSON(needs.course.outputs.stages) }}" in workflow
    assert 'python noxfile.py -s "$STAGE"' in workflow
