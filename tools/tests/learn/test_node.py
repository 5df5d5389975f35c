"""The stages in Node.js: finished ones earn every row, starters earn none, and `learn` works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course.catalog.parts import read_parts, runtime_of
from course.catalog.stages import ROOT, CourseError, Stage, load_course
from tools.grade.unbegun import not_begun
from tools.learn import compare, parts
from tools.learn.__main__ import main
from tools.learn.finished import finished_files, texts_of_rows
from tools.learn.source import spans
from tools.learn.starter import ADDED_TO_HTTP, COMMANDS, LAST_STAGE_IN_NODE, make_starter
from tools.learn.state import State, read_state, write_state
from tools.tests.grade.running import Report, grade
from tools.tests.learn.learner import Learner

STAGES = load_course()
IN_NODE = STAGES[:LAST_STAGE_IN_NODE]
FIRST = STAGES[0]
# Of other authors, with "abc" as the password; from the tests of OpenBSD's bcrypt.
KNOWN_HASH = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"

every_stage = pytest.mark.parametrize("stage", IN_NODE, ids=lambda stage: stage.name)
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="not checked: needs Node.js (`node` is not installed)"
)


def finished(stage: Stage, directory: Path) -> Path:
    """Put the finished stage into a directory."""
    directory.mkdir()
    for name, original in finished_files(stage, "node").items():
        shutil.copy(original, directory / name)
    return directory


def starter(stage: Stage, directory: Path) -> Path:
    """Make the starter of a stage."""
    make_starter(STAGES, stage, directory, runtime="node")
    return directory


def grade_node(stage: Stage, directory: Path, report: Path) -> Report:
    """Grade a directory with a server in Node.js."""
    command = [f"--stage={stage.number}", f"--cmd={COMMANDS['node']}", f"--cwd={directory}"]
    return grade(report, *command, "--answer-within=20")


def rows_in(stage: Stage) -> list[str]:
    """Return the rows of a starter."""
    return parts.rows_in_order(stage, "node")


@needs_node
@pytest.mark.slow
@pytest.mark.timeout(600)
@every_stage
def test_a_finished_stage_earns_every_row(stage: Stage, tmp_path: Path) -> None:
    report = grade_node(stage, finished(stage, tmp_path / "mine"), tmp_path / "report")
    assert report.exit_code == 0, report.printed
    assert set(report.statuses.values()) <= {"pass", "not_checked"}
    assert {report.statuses[row] for row in rows_in(stage)} == {"pass"}
    own = {row for row, status in report.statuses.items() if status == "pass"}
    assert {row for row in own if row.startswith(f"{stage.number}.")} == set(rows_in(stage))
    assert "Craft: 0" in report.printed or "Craft:" not in report.printed, report.printed


@needs_node
@pytest.mark.slow
@pytest.mark.timeout(600)
@every_stage
def test_a_starter_starts_and_every_row_is_still_to_do(stage: Stage, tmp_path: Path) -> None:
    report = grade_node(stage, starter(stage, tmp_path / "mine"), tmp_path / "report")
    own = {row["id"]: row for row in report.json["requirements"]}
    for row in rows_in(stage):
        assert own[row]["status"] in ("fail", "blocked"), row
        assert re.search(rf"^  {re.escape(row)} +to do ", report.printed, re.MULTILINE), row


@every_stage
def test_every_part_has_its_todo_and_nothing_of_the_solution(stage: Stage, tmp_path: Path) -> None:
    made = starter(stage, tmp_path / "mine")
    assert runtime_of(made) == "node"
    assert {todo.path for todo in parts.todos_in(made)} == {
        part.path for part in read_parts(stage, "node")
    }
    assert not_begun(made, stage) == set(rows_in(stage))
    for part in read_parts(stage, "node"):
        lines = (made / part.path).read_text(encoding="utf-8").splitlines()
        known = spans(part.path, "\n".join(lines))
        for name in part.names:
            start, end = known[name]
            *todo, last = [line.strip() for line in lines[start + 1 : end - 1]]
            assert all(line.startswith("//") for line in todo), name
            assert last.startswith(part.stubs.get(name, "throw new Error('TODO ")), name


@every_stage
def test_a_starter_changes_only_its_parts(stage: Stage, tmp_path: Path) -> None:
    made = starter(stage, tmp_path / "mine")
    for name, original in finished_files(stage, "node").items():
        of_the_file = [part for part in read_parts(stage, "node") if part.path == name]
        names = [one for part in of_the_file for one in part.names]
        kept, whole = (without(names, file) for file in (made / name, original))
        added = ADDED_TO_HTTP.splitlines() if name == "http.js" else []
        assert [line for line in kept if line not in added] == whole
        assert len(kept) == len(whole) + len(added)


def without(names: list[str], file: Path) -> list[str]:
    """Return the lines of a file that belong to none of these functions."""
    source = file.read_text(encoding="utf-8")
    known = spans(file.name, source)
    inside = {line for name in names for line in range(*known[name])}
    return [line for number, line in enumerate(source.splitlines()) if number not in inside]


@every_stage
def test_the_pages_name_the_rows_and_the_commands_of_node(stage: Stage, tmp_path: Path) -> None:
    made = starter(stage, tmp_path / "mine")
    page, rules = ((made / name).read_text(encoding="utf-8") for name in ("README.md", "AGENTS.md"))
    texts = texts_of_rows("node")
    for row in rows_in(stage):
        assert f"| {row} | {texts[row]} | `" in page
        assert f"| {row} | {texts[row]} | " in rules
    assert '--cmd "node server.js"' in page
    assert "Node.js 20.12 or newer" in page
    for word in ("uvicorn", "Pydantic", "requirements.txt"):
        assert word not in page


def test_each_row_with_a_text_of_its_own_has_it_in_russian_too() -> None:
    ours, courses = texts_of_rows("node"), texts_of_rows("python")
    changed = {row for row, text in courses.items() if ours[row] != text}
    assert texts_of_rows("node", "ru").keys() == changed


def test_a_later_stage_has_no_starter_in_node(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"no starter in Node\.js: choose a stage from 1 to 3"):
        make_starter(STAGES, STAGES[3], tmp_path / "mine", runtime="node")
    assert not (tmp_path / "mine").exists()


def test_the_command_makes_a_starter_in_node(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "noxfile.py"), "starter", "1", "mine", "--node"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "mine" / "package.json").read_text("utf-8"))["type"] == "module"


def test_a_directory_in_python_is_not_taken_for_one_in_node(tmp_path: Path) -> None:
    write_state(tmp_path, State(1, COMMANDS["python"]))
    with pytest.raises(CourseError, match=r"has no package\.json: name another one with --in"):
        main(["1", f"--in={tmp_path}", "--node"])


def test_compare_and_reset_know_javascript(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = starter(FIRST, tmp_path / "mine")
    todos, original = mine / "todos.js", finished_files(FIRST, "node")["todos.js"]
    shutil.copy(original, todos)
    assert compare.main(["1", str(mine), "1.4", "1.6"], ROOT) == 0
    shown = capsys.readouterr().out
    assert "TODO 1.4  todos.js: deleteTodo\n  the same as the finished stage\n" in shown
    assert "TODO 1.6  schemas.js: todoFields, pageFields\n" in shown
    assert "  +    completed: { check: boolean, default: false },\n" in shown
    assert parts.reset(FIRST, mine, "1.4") == ["todos.js"]
    assert (mine / parts.KEPT / "todos.js").read_bytes() == original.read_bytes()
    left = {row for todo in parts.todos_in(mine) for row in todo.rows}
    assert "1.4" in left
    assert not left & {"1.1", "1.2", "1.3", "1.5"}


def test_javascript_is_found_by_its_layout() -> None:
    source = """export class Table {
  #rows = new Map();

  async create(fields) {
    if (fields) {
      return 1;
    }
  }

  #show(row) {
  }
}

export async function read(call) {
  return call;
}
"""
    assert spans("store.js", source) == {
        "Table": (0, 12),
        "Table.create": (3, 8),
        "Table.#show": (9, 11),
        "read": (13, 16),
    }


@needs_node
def test_bcrypt_agrees_with_a_hash_of_another_implementation() -> None:
    script = f"""
        import {{ compare, hash }} from '{finished_files(STAGES[2], "node")["bcrypt.js"].as_uri()}';
        const own = await hash('пароль 🥛', 4);
        console.log(await compare('abc', '{KNOWN_HASH}'), await compare('xyz', '{KNOWN_HASH}'));
        console.log(own.length, own.slice(0, 7), await compare('пароль 🥛', own));
    """
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["true", "false", "60", "$2b$04$", "true"], done.stderr


@needs_node
@pytest.mark.timeout(300)
def test_a_learner_goes_from_a_failing_to_a_passing_row(tmp_path: Path) -> None:
    mine = starter(FIRST, tmp_path / "mine")
    files = finished_files(FIRST, "node")
    for name in ("schemas.js", "store.js"):
        shutil.copy(files[name], mine / name)
    others = [row for row in rows_in(FIRST) if row != "1.3"]
    whole = files["todos.js"].read_text(encoding="utf-8")
    write_state(mine, State(1, COMMANDS["node"], passed=others))
    learner = Learner(mine)

    def save(old: str, new: str) -> int:
        """Save the finished file with a change; return the number of the changed line."""
        assert whole.count(old) == 1
        (mine / "todos.js").write_text(whole.replace(old, new), encoding="utf-8")
        return whole.partition(old)[0].count("\n") + 1

    try:
        learner.until(r"^Now: 1\.3 Add a task$")
        learner.until(r"^  Write: todos\.js:\d+$")
        save("json(201, present(todo)", "json(200, present(todo)")
        learner.until(r"^✗ 1\.3 does not pass yet ")
        learner.until(r"^  expected: 201 Created$")
        line = save("await todos.create(", "await todos.creat(")
        learner.until(r"^  exception: TypeError: todos\.creat is not a function")
        learner.until(rf"^ +todos\.js:{line}: const todo = await todos\.creat\(")
        save("await todos.create(", "await todos.create(")
        learner.until(r"^✓ 1\.3 passes ")
        learner.until(r"^All rows of stage 1 pass\. Next: python3 noxfile\.py learn 2 --node$")
    finally:
        learner.end()


@needs_node
def test_learn_makes_a_directory_in_node_and_continues_there(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for options in (["2", "--node"], [], ["--lang=ru"]):
        command = [sys.executable, "-m", "tools.learn", *options, f"--in={mine}"]
        done = subprocess.run(command, cwd=ROOT, input="quit\n", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        text = texts_of_rows("node", "ru" if "--lang=ru" in options else "en")["2.6"]
        assert re.search(rf"2\.6 +\S.* {text}$", done.stdout, re.MULTILINE), done.stdout
    state = read_state(mine)
    assert state is not None
    assert (state.stage, state.command) == (2, "node server.js")
    assert str(tmp_path) not in (mine / ".learn.json").read_text(encoding="utf-8")  # portable
