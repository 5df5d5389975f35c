"""A starter is made where the learner wants it, starts, has its TODOs, and earns nothing yet."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from course.catalog.command import run
from course.catalog.environment import stage_python
from course.catalog.parts import read_parts
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import ROOT, CourseError, Stage, find_step, load_course
from course.harness.selection import spread
from tools.grade.chapters import check_chapter
from tools.grade.results import judge
from tools.grade.unbegun import not_begun
from tools.learn.parts import todos_in
from tools.learn.source import definitions
from tools.learn.starter import (
    AT_START,
    LAST_STAGE,
    blanked,
    main,
    make_starter,
    without_keys,
)
from tools.mutate.workbench import run_tests, workbench

COURSE = load_course()
STAGES = COURSE[:LAST_STAGE]
CHAPTERS = [
    find_step(COURSE, f"{stage.name}/{chapter.number}")
    for stage in COURSE
    for chapter in stage.chapters
]
TESTS_OF_A_ROW = 4  # a row is not earned when one of its tests fails: a few are enough
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
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda stage: stage.step)
every_step = pytest.mark.parametrize(
    "stage", [*STAGES, *CHAPTERS], ids=lambda stage: stage.step.replace("/", "-")
)


@pytest.fixture(scope="module")
def starter_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Stage], Path]:
    """Return where a stage's starter is; each is made on first use."""
    home = tmp_path_factory.mktemp("starters")

    def make(stage: Stage) -> Path:
        target = home / stage.step
        if not target.exists():
            make_starter(COURSE, stage, target)
        return target

    return make


def rows_of(stage: Stage) -> list[Requirement]:
    """Return the rows that a stage adds; rows about the repository are not exercises."""
    section = f"{stage.number}."
    return [row for row in load_requirements() if row.id.startswith(section)]


def test_the_command_makes_a_starter_where_the_learner_wants_it(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "noxfile.py"), "starter", "1", "mine/stage 1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "The starter of stage 1 is in mine/stage 1." in done.stdout
    assert "app.unfinished" in (tmp_path / "mine/stage 1/app/main.py").read_text("utf-8")


def test_an_agent_finds_its_rules_in_the_starter(starter_of: Callable[[Stage], Path]) -> None:
    for stage in STAGES:
        rules = (starter_of(stage) / "AGENTS.md").read_text(encoding="utf-8")
        assert f"`{stage.directory}`" in rules
        for row in rows_of(stage):
            assert f"| {row.id} | {row.text} | " in rules
        assert "|  |" not in rules  # each row has its question


def test_a_starter_starts_without_the_file_that_answers_501(
    tmp_path: Path, starter_of: Callable[[Stage], Path]
) -> None:
    copy = shutil.copytree(starter_of(STAGES[0]), tmp_path / "mine")
    (copy / "app" / "unfinished.py").unlink()
    command = [str(stage_python(STAGES[0])), "-c", "import app.main"]
    assert subprocess.run(command, cwd=copy).returncode == 0


@every_step
def test_every_file_that_is_left_to_do_has_a_todo(
    stage: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    marked = {todo.path for todo in todos_in(starter_of(stage))}
    assert {part.path for part in read_parts(stage)} == marked


def test_a_directory_with_content_is_left_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.py").touch()
    assert run(main, [f"--directory={tmp_path}", "3", "mine"], ROOT) == 2
    assert "is not empty: name a new directory" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.py"]


def test_a_starter_cannot_replace_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("work", encoding="utf-8")
    assert run(main, [f"--directory={tmp_path}", "3", "mine"], ROOT) == 2
    assert "Not a directory" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "work"


def test_an_empty_directory_takes_a_starter(tmp_path: Path) -> None:
    make_starter(STAGES, STAGES[0], tmp_path)
    assert (tmp_path / "requirements.txt").exists()


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ("1.1 app/main.py: nothing", "stages.toml, starter: app/main.py has no nothing"),
        (
            "1.1 app/nothing.py",
            f"stages.toml, starter: {STAGES[0].directory} has no app/nothing.py",
        ),
    ],
)
def test_a_part_that_is_not_in_the_stage_is_an_error_and_leaves_nothing(
    part: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(CourseError, match=re.escape(complaint)):
        make_starter(STAGES, replace(STAGES[0], starter=(part,)), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_capstone_as_a_whole_has_no_starter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, ["capstone", str(tmp_path / "mine")], ROOT) == 2
    assert "choose a stage from 1 to 8, or a chapter: capstone/1 or" in capsys.readouterr().err
    assert run(main, ["capstone/7", str(tmp_path / "mine")], ROOT) == 2
    assert "capstone has no chapter '7': choose one of 1 (" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


@every_chapter
def test_the_starter_of_a_chapter_differs_only_in_its_parts(
    chapter: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    made, finished = starter_of(chapter), ROOT / chapter.directory
    parts = {part.path for part in read_parts(chapter)}
    for path in (path for path in made.rglob("*") if path.is_file()):
        name = path.relative_to(made).as_posix()
        if name not in {"AGENTS.md", "README.md", "app/main.py", "app/unfinished.py"}:
            is_finished = path.read_bytes() == (finished / name).read_bytes()
            assert is_finished == (name not in parts), name


@every_chapter
def test_the_page_of_a_chapter_names_its_rows_and_commands(
    chapter: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    assert chapter.chapter is not None
    made = starter_of(chapter)
    page = (made / "README.md").read_text("utf-8")
    assert f"`{chapter.lesson}` in the course" in page
    assert (ROOT / chapter.lesson).exists()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines()]
    assert sorted(row for row in rows if row[:2] == "C.") == sorted(chapter.chapter.rows)
    commands = re.findall(r"^python3 noxfile\.py (.+)$", page, re.MULTILINE)
    assert [shlex.split(command)[0] for command in commands] == ["learn", "grade", "compare"]
    for command in commands:
        *words, place = shlex.split(command)
        assert chapter.step in words
        assert (ROOT / place).resolve() == made.resolve()
    rules = (made / "AGENTS.md").read_text(encoding="utf-8")
    assert f"`python3 noxfile.py learn {chapter.step}`" in rules
    assert "|  |" not in rules  # each row has its question


@every_chapter
def test_no_row_of_a_chapter_is_begun_in_its_starter(
    chapter: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    assert chapter.chapter is not None
    assert not_begun(starter_of(chapter), chapter) == set(chapter.chapter.rows)
    assert not_begun(ROOT / chapter.directory, chapter) == set()


def test_a_yaml_file_loses_only_the_keys_that_are_left_to_do() -> None:
    source = "a:\n  # About x.\n  x:\n    one: 1\n\n    two: 2\n  y: 3\nvolumes:\n  v:\n"
    (part, other) = read_parts(
        Stage(1, "s", "t", "l", "g", 1, starter=("1.1 c.yaml: a.x", "1.2 c.yaml: volumes"))
    )
    assert without_keys(source, [part, other], TEXTS) == (
        "a:\n  # About x.\n  # TODO 1.1: List all tasks\n\n  y: 3\n# TODO 1.2: Read one\n"
    )
    missing = replace(part, names=("a.z",))
    with pytest.raises(CourseError, match=re.escape("stages.toml, starter: c.yaml has no z")):
        without_keys(source, [missing], TEXTS)


def test_a_stub_keeps_the_application_running() -> None:
    source = "def add(a: int, b: int) -> int:\n    total = a + b\n    return total\n"
    (part,) = read_parts(
        Stage(1, "s", "t", "l", "g", 1, starter=("1.1 a.py: add = return max(a, b)",))
    )
    assert blanked(source, [part], TEXTS) == (
        "def add(a: int, b: int) -> int:\n    # TODO 1.1: List all tasks\n    return max(a, b)\n"
    )


@every_stage
def test_the_page_of_a_starter_names_places_that_exist(
    stage: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    place = starter_of(stage)
    page = (place / "README.md").read_text("utf-8")
    assert f"`{stage.directory}/README.md` in the course" in page
    assert (ROOT / stage.directory / "README.md").exists()
    (entered,) = re.findall(r"^cd (.+)$", page, re.MULTILINE)
    (graded,) = re.findall(r"--cwd (.+)$", page, re.MULTILINE)
    assert [(ROOT / path).resolve() for path in shlex.split(f"{entered} {graded}")] == [
        place.resolve()
    ] * 2
    (compared,) = re.findall(r"^python3 noxfile\.py compare (.+)$", page, re.MULTILINE)
    number, directory = shlex.split(compared)
    assert (number, (ROOT / directory).resolve()) == (str(stage.number), place.resolve())


def test_every_starter_imports_cleanly(tmp_path: Path, starter_of: Callable[[Stage], Path]) -> None:
    # One process, since the import of the libraries is most of the work.
    command = [str(stage_python(COURSE[-1])), "-B", "-W", "error", "-c", IMPORT_EACH]
    command += [str(starter_of(stage)) for stage in STAGES]
    # The stage's environment holds its bytecode; ours, elsewhere, has none of its packages.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPYCACHEPREFIX"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@every_stage
def test_every_row_has_its_todo(stage: Stage, starter_of: Callable[[Stage], Path]) -> None:
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


@every_chapter
def test_the_starter_of_a_chapter_imports_cleanly(
    chapter: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    # A process for each, since the metrics of two capstones have the same names.
    command = [str(stage_python(COURSE[-1])), "-B", "-W", "error", "-c", "import app.main"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPYCACHEPREFIX"}
    done = subprocess.run(
        command, cwd=starter_of(chapter), env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@every_step
def test_a_starter_has_nothing_of_the_solution_left(
    stage: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    for part in read_parts(stage):
        if part.names and part.path.endswith(".py"):
            source = (starter_of(stage) / part.path).read_text("utf-8")
            known = dict(definitions(ast.parse(source)))
            for name in part.names:
                last = ast.unparse(known[name].body[-1])
                if name in part.stubs:
                    assert last == ast.unparse(ast.parse(part.stubs[name], mode="exec").body[0])
                elif not isinstance(known[name], ast.ClassDef):
                    assert last.startswith(("raise NotImplementedError", *AT_START_CODE)), name
                else:
                    assert len(known[name].body) == 1, name


@pytest.mark.parametrize(
    ("stages", "ignored"),
    # The TODOs leave arguments unused; a method of a stub is not among the stages' parts.
    [(STAGES, "ARG001"), (CHAPTERS, "ARG001,ARG002,RUF100")],
    ids=["stages", "chapters"],
)
def test_every_starter_is_clean(
    stages: list[Stage], ignored: str, starter_of: Callable[[Stage], Path]
) -> None:
    options = ["--no-cache", "--config=pyproject.toml", f"--extend-ignore={ignored}"]
    places = [str(starter_of(stage)) for stage in stages]
    command = [sys.executable, "-m", "ruff", "check", *options, *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES[:3], ids=lambda stage: stage.name)
def test_a_starter_starts_and_earns_none_of_the_new_rows(
    stage: Stage, starter_of: Callable[[Stage], Path]
) -> None:
    rows = rows_of(stage)
    tests = sorted({test for row in rows for test in spread(row.tests, TESTS_OF_A_ROW)})
    with workbench(stage, starter_of(stage)) as root:
        earned = run_tests(root, stage, tests).rows(rows)
    assert earned == {row.id: False for row in rows}


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(600)  # it runs other tests, in both forms of the app
def test_the_starter_of_a_chapter_starts_and_earns_the_rows_of_earlier_chapters(
    starter_of: Callable[[Stage], Path],
) -> None:
    # Chapter 4 has files of all kinds; its rows and these of the chapters before it are quick.
    (chapter,) = (one for one in CHAPTERS if one.chapter and one.chapter.number == 4)
    rows = [row for row in load_requirements() if row.id in {"C.8", "C.14", "C.15", "C.16"}]
    suite = check_chapter(chapter, starter_of(chapter), rows)
    judged = judge(rows, suite, {}, not_begun(starter_of(chapter), chapter))
    assert [(row.id, row.word) for row in judged] == [
        *(("C.8", "pass"), ("C.14", "to do"), ("C.15", "to do"), ("C.16", "to do"))
    ]


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
