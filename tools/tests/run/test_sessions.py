"""Rows D.5, D.6 and D.8: each stage has its own nox session, and CI runs all of them."""

import functools
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from course.catalog.stages import ROOT, Stage, load_course, pages_of
from tools.run import sessions as running
from tools.run.arguments import nox_arguments
from tools.run.bootstrap import bootstrap
from tools.run.receipts import find_receipt, keep_receipt
from tools.run.suites import FAILED, Outcome, stage_run

STAGES = load_course()
each_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


class SessionFailed(Exception):
    """The session ended with an error; the message is its text."""


class Sessions:
    """The noxfile's sessions by name, run with a fake session that only records the commands."""

    def __init__(self, noxfile: ModuleType, functions: dict[str, Callable[[Any], None]]) -> None:
        self.noxfile = noxfile
        self.functions = functions
        self.default: list[str] = vars(noxfile)["nox"].options.sessions
        self.commands: list[list[str]] = []
        self.log: list[str] = []
        self.outcome = Outcome()  # of every run of pytest

    def run(self, name: str, *arguments: str) -> list[list[str]]:
        """Return the commands that the session runs with these arguments."""
        self.commands, self.log = [], []
        session = SimpleNamespace(
            name=name,
            posargs=list(arguments),
            log=self.log.append,
            warn=self.log.append,
            error=self._fail,
            chdir=lambda directory: self.commands.append(["cd", str(directory)]),
            run=lambda *command, **_: self.commands.append([str(word) for word in command]),
            _runner=SimpleNamespace(manifest=self.default),
        )
        self.functions[name](session)
        return self.commands

    def note_run(self, _: object, arguments: Sequence[str], *__: object, **___: object) -> Outcome:
        """Note a run of pytest in its lanes."""
        self.commands.append(["pytest", *arguments])
        return self.outcome

    def note_server(self, command: Sequence[str], directory: Path, _: object) -> int:
        """Note a server, and where it runs."""
        self.commands += [["cd", str(directory)], [str(word) for word in command]]
        return 0

    @staticmethod
    def _fail(text: str) -> None:
        raise SessionFailed(text)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sessions:
    """The sessions of the noxfile, loaded without nox and without environments."""
    functions: dict[str, Callable[[Any], None]] = {}

    def session(function: Any = None, *, name: str | None = None, **_: Any) -> Any:
        def add(function: Any) -> Any:
            functions[name or function.__name__] = function
            return function

        return add(function) if function else add

    nox = ModuleType("nox")
    vars(nox).update(session=session, options=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "nox", nox)
    for name, none in (("STARTED", {}), ("FLAKY", [])):
        monkeypatch.setattr(running, name, none)
    spec = importlib.util.spec_from_file_location("noxfile_under_test", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    found = Sessions(noxfile, functions)
    replaced = {
        "stage_python": lambda stage: Path("python-of", stage.name),
        "tools_python": lambda: Path("python-of", "tools"),
        "run_lanes": found.note_run,
        "run_in_foreground": found.note_server,
        "find_receipt": lambda *_: None,
        "last_duration": lambda *_: 5.0,
        "keep_receipt": lambda name, *_: found.log.append(f"receipt of {name}"),
        "keep_flaky": lambda *_: None,
    }
    for name, replacement in replaced.items():
        monkeypatch.setattr(running, name, replacement)
    monkeypatch.setattr(noxfile, "run_in_foreground", found.note_server)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ""),
        ("-l", "-l"),
        ("-s diff -- 1 2", "-s diff -- 1 2"),
        ("stage02", "-s stage02 --"),
        ("starter 3 ../mine", "-s starter -- 3 ../mine"),
        ("lint --fix", "-s lint -- --fix"),
        ("stage02 -- -k title", "-s stage02 -- -k title"),
        ("stage02 -k title -- x", "-s stage02 -- -k title -- x"),
    ],
)
def test_a_session_needs_no_options_of_nox(words: str, expected: str) -> None:
    assert nox_arguments(words.split()) == expected.split()


@pytest.mark.requirement("D.5")
@each_stage
def test_a_stage_has_a_session_that_runs_its_suites(sessions: Sessions, stage: Stage) -> None:
    planned = stage_run(STAGES, stage, "quick")
    assert sessions.run(stage.name) == [["pytest", *arguments] for arguments in planned.runs]
    suites = [f"tests/{earlier.name}" for earlier in STAGES[: stage.number]]
    assert [suite for suite in suites if any(suite in run for run in planned.runs)] == suites
    assert all(f"--stage={stage.number}" in run for run in planned.runs)
    for suite in suites:
        assert list((ROOT / suite).glob("test_*.py"))


@pytest.mark.requirement("D.6")
@each_stage
def test_a_learner_runs_one_stage_with_its_own_packages(sessions: Sessions, stage: Stage) -> None:
    moved, served = sessions.run("serve", str(stage.number))
    assert moved == ["cd", str(ROOT / stage.directory)]
    assert served[:4] == [f"python-of/{stage.name}", "-m", "uvicorn", "app.main:app"]


@each_stage
def test_serve_prints_the_address_of_each_page(sessions: Sessions, stage: Stage) -> None:
    """Routers of HTML pages stay out of the OpenAPI document: that is how they are found here."""
    routers = (ROOT / stage.directory / "app").rglob("*.py")
    hidden = re.compile(
        r'(?:APIRouter\(prefix="(/\w+)", include_in_schema=False\)|= page_router\("(/[\w-]+)")'
    )
    found = [pair for file in routers for pair in hidden.findall(file.read_text("utf-8"))]
    pages = {"".join(pair) for pair in found}
    expected = {"/", "/docs", *pages}
    if stage.name == "capstone":
        expected |= {"/health/ready", "/metrics"}
    sessions.run("serve", str(stage.number), "--port", "8123")
    printed = [line.strip() for line in sessions.log if "http://" in line]
    assert sorted(printed) == sorted(f"http://127.0.0.1:8123{page}" for page in expected)
    assert printed[0].endswith(":8123/")


def test_stages_add_the_gallery_and_the_chat() -> None:
    assert [pages_of(STAGES, STAGES[number - 1]) for number in (3, 4, 8)] == [
        ["/", "/docs"],
        ["/", "/docs", "/gallery"],
        ["/", "/docs", "/gallery", "/chat"],
    ]


@pytest.mark.parametrize(
    ("words", "expected"), [(["help"], ["-l"]), (["-l"], ["-l"]), (["lint"], ["-s", "lint", "--"])]
)
def test_help_lists_the_commands(
    words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / ".venv" / "made").touch()
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: called.append(command))
    monkeypatch.setattr("subprocess.call", called.append)
    bootstrap(tmp_path / "noxfile.py", words)
    nox = [str(python), "-m", "nox", "--noxfile", str(tmp_path / "noxfile.py")]
    assert called[0] == [*nox, *expected]


@pytest.mark.requirement("D.8")
def test_every_stage_is_checked_unless_one_is_named(sessions: Sessions) -> None:
    assert {"lint", "typecheck", "check"} <= set(sessions.default)
    assert {stage.name for stage in STAGES} <= set(sessions.default)


def test_a_session_shows_its_place_in_the_run_and_its_last_duration(sessions: Sessions) -> None:
    sessions.run("lint")
    sessions.run("stage01")
    assert f"stage01 (2 of {len(sessions.default)}), 5 s the last time" in sessions.log


def test_a_green_run_leaves_a_receipt(sessions: Sessions) -> None:
    sessions.run("stage01")
    assert "receipt of stage01" in sessions.log


def test_a_proven_session_runs_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "receipt_key", lambda *_: "key")
    keep_receipt("stage01", "key", 8, tmp_path)
    find = functools.partial(find_receipt, directory=tmp_path)
    monkeypatch.setattr(running, "find_receipt", find)
    assert sessions.run("stage01") == []
    assert any("stage01: proven on" in line for line in sessions.log)
    assert sessions.run("stage01", "--fresh") != []


def test_a_failure_ends_the_session_and_leaves_no_receipt(sessions: Sessions) -> None:
    sessions.outcome = Outcome(FAILED, failed=["tests/x.py::test_it"])
    with pytest.raises(SessionFailed, match="stage01: 1 failed"):
        sessions.run("stage01")
    assert "FAILED tests/x.py::test_it" in sessions.log
    assert "receipt of stage01" not in sessions.log


def test_a_flaky_test_is_listed_and_leaves_no_receipt(sessions: Sessions) -> None:
    sessions.outcome = Outcome(flaky=["tests/x.py::test_it"])
    sessions.run("stage01")
    assert "FLAKY tests/x.py::test_it: it failed and then passed alone" in sessions.log
    assert "receipt of stage01" not in sessions.log


def test_a_full_run_with_a_flaky_test_runs_every_stage_and_fails(sessions: Sessions) -> None:
    sessions.outcome = Outcome(flaky=["tests/x.py::test_it"])
    with pytest.raises(SessionFailed, match="flaky tests: a full run must have none"):
        sessions.run("full")
    for run in stage_run(STAGES, STAGES[-1], "full").runs:
        assert ["pytest", *run] in sessions.commands


def test_a_full_run_tests_each_stage_with_all_earlier_suites(sessions: Sessions) -> None:
    commands = sessions.run("full")
    for stage in STAGES:
        for run in stage_run(STAGES, stage, "full").runs:
            assert ["pytest", *run] in commands


def test_pytest_arguments_replace_the_suites(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []

    def run_pytest(_: object, *words: str) -> int:
        ran.append(words)
        return 0

    monkeypatch.setattr(sessions.noxfile, "run_pytest", run_pytest)
    sessions.run("stage02", "tests/stage02", "-k", "migration")
    assert ran == [("--stage=2", "tests/stage02", "-k", "migration")]


@pytest.mark.requirement("D.8")
def test_ci_runs_every_stage_of_the_course() -> None:
    assert "exec python3 noxfile.py\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert 'stages=$(python -m tools.run.touched --all)"' in workflow
    assert "stage: ${{ fromJSON(needs.plan.outputs.stages) }}" in workflow
    assert 'python noxfile.py -s "$STAGE"' in workflow


def test_each_hook_runs_a_session(sessions: Sessions) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0][
        "hooks"
    ]
    entries = [shlex.split(hook["entry"]) for hook in hooks]
    assert {tuple(words[:2]) for words in entries} == {("python3", "noxfile.py")}
    named = [nox_arguments(words[2:])[1] for words in entries]
    assert set(named) <= sessions.functions.keys()
    assert {"lint", "typecheck"} <= set(named)


def test_lint_checks_style_spelling_and_workflows(sessions: Sessions) -> None:
    programs = [Path(command[0]).name for command in sessions.run("lint")]
    assert programs == ["tools", "tools", "typos", "tools", "zizmor"]


def test_everything_runs_every_night() -> None:
    workflow = (ROOT / ".github" / "workflows" / "full.yml").read_text(encoding="utf-8")
    assert "schedule:" in workflow
    assert "python noxfile.py -s full -- --fresh" in workflow


@pytest.mark.parametrize("name", ["ci.yml", "full.yml"])
def test_ci_pins_every_action_by_its_commit(name: str) -> None:
    workflow = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)", workflow)
    assert uses
    assert [action for action in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []
