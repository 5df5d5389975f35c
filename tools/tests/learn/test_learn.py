"""The loop for learners: a real server, real saves, one row after the other."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, CourseError, find_step, load_course
from tools.grade.words import LANGUAGES
from tools.learn import compare, parts, words
from tools.learn.__main__ import main
from tools.learn.runs import open_bench
from tools.learn.starter import make_starter
from tools.learn.state import State, read_state, write_state
from tools.tests.learn.learner import FINISHED, FIRST, Learner

STAGES = load_course()
CHAPTER_4 = find_step(STAGES, "capstone/4")
Learn = Callable[..., Learner]
ROUTER, SCHEMAS, SERVICE = (f"app/todos/{name}.py" for name in ("router", "schemas", "service"))


def test_a_learner_goes_from_nothing_to_every_row(learn: Learn, directory: Path) -> None:
    learner = learn()
    learner.until(r"^Stage 1: A todo list in memory$")
    learner.until(r"^ > 1\.6  to do")
    learner.until(r"^Now: 1\.6 ")
    learner.until(rf"^  Write: {SCHEMAS}:\d+$")
    learner.save(SCHEMAS)
    learner.save(SERVICE)
    learner.save(ROUTER, "HTTP_201_CREATED", "HTTP_200_OK")
    learner.until(r"^✗ 1\.\d does not pass yet \(\d+ of \d+ tests, \d+\.\d s\)$")
    learner.until(r"^  expected: 201 Created$")
    learner.until(r"^  got: 200")
    learner.type("hint")
    learner.until(r"^hint 1/\d: ")
    learner.save(ROUTER)
    learner.until(r"^All rows of stage 1 pass\. Next: python3 noxfile\.py learn 2$")
    state = read_state(directory)
    assert state is not None
    assert sorted(state.passed) == [f"1.{row}" for row in range(1, 8)]
    assert state.hints == {}


SOURCE = "deploy/grafana/provisioning/datasources/prometheus.yml"


@pytest.fixture(scope="module")
def chapter_4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter of a chapter; tests leave it as it is."""
    made = tmp_path_factory.mktemp("chapters") / "mine"
    make_starter(STAGES, CHAPTER_4, made)
    return made


def test_the_loop_shows_the_rows_and_places_of_a_chapter(chapter_4: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(chapter_4, tmp_path / "mine")
    learner = Learner(mine, step="capstone/4")
    try:
        learner.until(r"^Stage capstone/4: Seeing: metrics, logs, traces, alerts$")
        learner.until(rf"^The lesson: {re.escape(CHAPTER_4.lesson)}$")
        learner.until(r"^ > C\.4 +to do")
        learner.until(r"^ · C\.16 to do")
        learner.until(r"^  Write: app/logs\.py:\d+$")
        assert learner.quit() == 0
    finally:
        learner.end()
    state = read_state(mine)
    assert state is not None
    assert (state.stage, state.chapter, state.step) == (9, 4, "9/4")
    with pytest.raises(CourseError, match="holds capstone/4: name another one with --in"):
        main(["capstone/2", f"--in={mine}"], ROOT)


@pytest.mark.slow
def test_a_row_of_a_chapter_passes_when_its_file_is_written(
    chapter_4: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(chapter_4, tmp_path / "mine")
    rows = [row for row in load_requirements() if row.id == "C.15"]

    def word() -> str:
        with open_bench(CHAPTER_4, mine, ()) as bench:
            look = bench.look(rows, lambda: False, anew=True)
        assert look.problem == ""
        return look.rows[0].word

    assert word() == "to do"
    finished = (ROOT / CHAPTER_4.directory / SOURCE).read_text("utf-8")
    (mine / SOURCE).write_text(finished.replace("uid: prom", "uid: other"), "utf-8")
    assert word() == "fail"
    (mine / SOURCE).write_text(finished, encoding="utf-8")
    assert word() == "pass"
    shutil.rmtree(mine / "app")
    with open_bench(CHAPTER_4, mine, ()) as bench:
        assert "has no app" in bench.look(rows, lambda: False, anew=True).problem


def test_a_part_of_a_chapter_is_compared_and_reset(chapter_4: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(chapter_4, tmp_path / "mine")
    finished = (ROOT / CHAPTER_4.directory / SOURCE).read_text("utf-8")
    lines = "\n".join(parts.compare(CHAPTER_4, mine, ["C.15"]))
    assert f"TODO C.15  {SOURCE}" in lines
    assert "+datasources:" in lines
    (mine / SOURCE).write_text(finished, encoding="utf-8")
    assert "the same as the finished stage" in "\n".join(parts.compare(CHAPTER_4, mine, ["C.15"]))
    assert parts.reset(CHAPTER_4, mine, "C.15") == [SOURCE]
    assert (mine / SOURCE).read_bytes() == (chapter_4 / SOURCE).read_bytes()


def test_a_regression_becomes_the_current_row_and_an_error_names_its_line(
    learn: Learn, directory: Path
) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    passed = [f"1.{row}" for row in range(2, 8)]
    write_state(directory, State(1, "uvicorn app.main:app --port {port}", passed=passed))
    learner = learn()
    learner.until(r"^ ✓ 1\.4  passed")
    learner.until(r"^Now: 1\.1 ")
    learner.save(ROUTER, "HTTP_204_NO_CONTENT", "HTTP_200_OK")
    (row,) = learner.until(r"^(1\.\d) was passed and fails now$").groups()
    learner.until(rf"^Now: {row} ")
    learner.until(r"^  expected: 204 No Content$")
    learner.save(ROUTER, "import", "imp ort")
    learner.until(r"^The server does not start \(\d+\.\d s\)$")
    learner.until(r"app/todos/router\.py\", line \d+")
    learner.until(r"SyntaxError")
    assert learner.quit() == 0


def test_a_server_that_does_not_start_finishes_no_stage(learn: Learn, directory: Path) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    passed = [f"1.{row}" for row in range(1, 8)]
    write_state(directory, State(1, "uvicorn app.main:app --port {port}", passed=passed))
    router = (directory / ROUTER).read_text(encoding="utf-8")
    (directory / ROUTER).write_text(router.replace("import", "imp ort"), encoding="utf-8")
    learner = learn()
    learner.until(r"SyntaxError")
    learner.type("list")
    learner.until(r"^ ✓ 1\.4  passed")  # the loop has not ended
    learner.save(ROUTER)
    learner.until(r"^All rows of stage 1 pass")
    assert learner.wait() == 0


def test_the_solution_is_shown_when_it_is_asked_for_twice(learn: Learn) -> None:
    learner = learn()
    learner.until(r"^Now: 1\.6 ")
    learner.type("compare")
    learner.until(r"ask once more")
    learner.type("compare")
    learner.until(rf"^TODO 1\.6  {SCHEMAS}: TodoCreate, TodoPatch$")
    learner.until(r"^  \+    title: ")
    learner.type("dance")
    learner.until(r"^There is no command dance\.$")
    learner.type("lesson")
    learner.until(rf"^{FIRST.directory}/README\.md:\d+$")
    assert learner.quit() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="not checked: needs Linux's /proc")
def test_the_server_ends_with_the_loop(learn: Learn, directory: Path) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    learner = learn()
    learner.until(r"(passes|does not pass yet) ")
    assert servers_in(directory) != []
    assert learner.end() == 0
    assert servers_in(directory) == []


def test_a_save_is_checked_for_regressions_while_the_current_row_is_not_begun(
    learn: Learn, directory: Path
) -> None:
    for path in (SCHEMAS, SERVICE, ROUTER):
        shutil.copy(FINISHED / path, directory / path)
    parts.reset(FIRST, directory, "1.4")
    passed = ["1.1", "1.5", "1.6", "1.7"]
    write_state(directory, State(1, "uvicorn app.main:app --port {port}", passed=passed))
    learner = learn()
    learner.until(r"^1\.2 waits for 1\.4: go on with 1\.4$")
    learner.until(r"^Now: 1\.4 ")
    learner.save(SERVICE, "[offset : offset + limit]", "[:limit]")
    learner.until(r"^1\.1 was passed and fails now$")
    assert learner.quit() == 0


def servers_in(directory: Path) -> list[str]:
    """Return the processes that work in this directory."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.resolve(strict=True) == directory.resolve():
                found.append(link.parent.name)
    return found


def test_the_loop_speaks_russian(learn: Learn) -> None:
    learner = learn("--lang=ru")
    learner.until("^Этап 1: ")
    learner.until(r"^Сейчас: 1\.6 ")
    learner.type("hint")
    learner.until(r"^подсказка 1/\d: .*[а-я]")
    assert learner.quit() == 0


def test_every_text_of_the_loop_has_a_russian_one() -> None:
    source = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "tools" / "learn").glob("*.py")
    )
    for text, russian in vars(words)["_RUSSIAN"].items():
        fields = set(re.findall(r"{(\w+)", text))
        assert fields == set(re.findall(r"{(\w+)", russian)), text
        assert source.count(text) > 1, f"nobody says {text!r}"
    assert LANGUAGES == ("en", "ru")


def test_a_reset_puts_the_parts_of_a_row_back(directory: Path) -> None:
    before = (directory / ROUTER).read_text(encoding="utf-8")
    shutil.copy(FINISHED / ROUTER, directory / ROUTER)
    assert parts.reset(FIRST, directory, "1.4") == [ROUTER]
    kept = directory / parts.KEPT / ROUTER
    assert kept.read_bytes() == (FINISHED / ROUTER).read_bytes()
    rows = {row for todo in parts.todos_in(directory) for row in todo.rows}
    assert "1.4" in rows
    assert not rows & {"1.1", "1.2", "1.3", "1.5"}  # the other functions stay as they were written
    (directory / ROUTER).write_text("def half_written(:\n", encoding="utf-8")
    assert parts.reset(FIRST, directory, "1.4") == [ROUTER]
    assert (directory / ROUTER).read_text(encoding="utf-8") == before
    assert parts.reset(FIRST, directory, "1.4") == []


def test_compare_shows_the_parts_only(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FINISHED / SCHEMAS, directory / SCHEMAS)
    assert compare.main(["1", str(directory)], ROOT) == 0
    shown = capsys.readouterr().out
    assert (
        f"TODO 1.6  {SCHEMAS}: TodoCreate, TodoPatch\n  the same as the finished stage\n" in shown
    )
    assert "+    return await service" in shown or "+    return service" in shown
    assert len(shown.splitlines()) < 250  # no environment, no file that is given
    assert compare.main(["1", str(directory), "1.6"], ROOT) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(CourseError, match=r"no part for row 9\.9"):
        compare.main(["1", str(directory), "9.9"], ROOT)
    with pytest.raises(CourseError, match="there is no directory"):
        compare.main(["1", str(directory / "x")], ROOT)


def test_the_rows_of_a_stage_come_in_the_order_of_its_starter() -> None:
    known = {row.id: row.stage for row in load_requirements()}
    for stage in STAGES[:8]:
        rows = parts.rows_in_order(stage)
        assert {known[row] for row in rows} == {stage.number}


@pytest.mark.parametrize("text", ["{", "[]", '{"stage": 1, "colour": 2}'])
def test_a_state_that_cannot_be_read_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / ".learn.json").write_text(text, encoding="utf-8")
    with pytest.raises(CourseError, match="Delete this file to start again"):
        read_state(tmp_path)


def test_a_directory_of_another_stage_is_not_touched(directory: Path) -> None:
    write_state(directory, State(2, "x"))
    with pytest.raises(CourseError, match="holds stage 2"):
        main(["1", f"--in={directory}"])
    assert json.loads((directory / ".learn.json").read_text("utf-8"))["stage"] == 2
