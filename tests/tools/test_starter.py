"""What learners begin with: it is current, starts, has its TODOs, and earns nothing yet."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.course import ROOT, Stage, load_course
from tools.environment import stage_python
from tools.requirements import Requirement, load_requirements
from tools.starter import (
    AT_START,
    LAST_STAGE,
    STARTERS,
    blanked,
    definitions,
    differences,
    read_parts,
)
from tools.workbench import run_tests, workbench

STAGES = load_course()[:LAST_STAGE]
TESTS_OF_A_ROW = 1  # a row is not earned when one of its tests fails: one is enough
AT_START_CODE = [line.partition("  #")[0] for line in AT_START.values()]
TEXTS = {"1.1": "List all tasks", "1.2": "Read one"}

IMPORT_EACH = """
import importlib, sys
for directory in sys.argv[1:]:
    sys.path.insert(0, directory)
    importlib.import_module("app.main")
    sys.path.remove(directory)
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
"""

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def starter_of(stage: Stage) -> Path:
    """Return where a stage's starter is."""
    return ROOT / STARTERS / stage.name


def rows_of(stage: Stage) -> list[Requirement]:
    """Return the rows that a stage adds to the course; the repository's own are no exercise."""
    section = f"{stage.number}."
    return [row for row in load_requirements() if row.id.startswith(section)]


def test_an_edited_starter_is_noticed(tmp_path: Path) -> None:
    made, kept = tmp_path / "made", tmp_path / "kept"
    for directory, text in ((made, "a"), (kept, "b")):
        directory.mkdir()
        (directory / "changed.py").write_text(text, encoding="utf-8")
    (kept / "left.py").touch()
    assert list(differences(made, kept)) == ["changed.py", "left.py"]


def test_every_starter_imports_cleanly(tmp_path: Path) -> None:
    # One process, since the import of the libraries is most of the work.
    command = [str(stage_python(STAGES[-1])), "-B", "-W", "error", "-c", IMPORT_EACH]
    command += [str(starter_of(stage)) for stage in STAGES]
    # The stage's environment holds its bytecode; ours, elsewhere, has none of its packages.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPYCACHEPREFIX"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@every_stage
def test_every_row_has_its_todo(stage: Stage) -> None:
    code = "".join(path.read_text("utf-8") for path in starter_of(stage).rglob("*.py"))
    named = {row for line in code.splitlines() if "# TODO " in line for row in _rows_in(line)}
    assert {row.id for row in rows_of(stage)} <= named
    page = (starter_of(stage) / "README.md").read_text("utf-8")
    in_the_table = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines()]
    listed = [row for row in in_the_table if row[:1].isdigit() or row[:2] == "D."]
    assert sorted(listed) == [row.id for row in rows_of(stage)]
    assert [row.text for row in rows_of(stage) if row.text not in page] == []


def _rows_in(line: str) -> list[str]:
    return line.partition("# TODO ")[2].partition(":")[0].split(", ")


@every_stage
def test_a_starter_has_nothing_of_the_solution_left(stage: Stage) -> None:
    for part in read_parts(stage):
        if part.names:
            source = (starter_of(stage) / part.path).read_text("utf-8")
            known = dict(definitions(ast.parse(source)))
            for name in part.names:
                last = ast.unparse(known[name].body[-1])
                if not isinstance(known[name], ast.ClassDef):
                    assert last.startswith(("raise NotImplementedError", *AT_START_CODE)), name
                else:
                    assert len(known[name].body) == 1, name


def test_a_starter_is_clean() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", STARTERS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES[:3], ids=lambda stage: stage.name)
def test_a_starter_starts_and_earns_none_of_the_new_rows(stage: Stage) -> None:
    rows = rows_of(stage)
    tests = sorted({test for row in rows for test in row.tests[:TESTS_OF_A_ROW]})
    with workbench(stage, starter_of(stage)) as root:
        earned = run_tests(root, stage, tests).rows(rows)
    assert earned == {row.id: False for row in rows}


def test_a_body_becomes_a_todo_and_what_is_around_it_stays() -> None:
    source = '''"""A module."""


class Store:
    """A store."""

    def get(self) -> int:
        """Return it."""
        # How it is done.
        return 1

    def put(self) -> None:
        return None  # at once
'''
    (part, other) = read_parts(
        Stage(1, "s", "t", "l", "g", 1, starter=("1.1+1.2 a.py: Store.get", "1.2 a.py: Store.put"))
    )
    assert (
        blanked(source, [part, other], TEXTS)
        == '''"""A module."""


class Store:
    """A store."""

    def get(self) -> int:
        """Return it."""
        # TODO 1.1, 1.2: List all tasks; Read one
        raise NotImplementedError("TODO 1.1, 1.2: List all tasks; Read one")

    def put(self) -> None:
        # TODO 1.2: Read one
        raise NotImplementedError("TODO 1.2: Read one")
'''
    )
