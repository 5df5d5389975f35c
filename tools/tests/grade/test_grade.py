"""Right solutions earn their rows; broken ones get a report and no traceback."""

import csv
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Set
from pathlib import Path
from xml.etree import ElementTree

import pytest

from course.catalog.command import INTERRUPTED
from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, Stage, find_stage, load_course
from course.harness.driver import Api
from course.harness.ports import free_port
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from course.tests.odd_servers import MARKUP, odd_server
from tools.grade import learner
from tools.grade.changes import changes
from tools.tests.grade.running import (
    HERE,
    Report,
    grade,
    grade_command,
    grade_here,
    judge_here,
)

# A complete grade may take a minute, or a few on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STAGES = load_course()
FIRST = find_stage(STAGES, "1")
REFERENCE = find_stage(STAGES, "3")  # the first one with users
LAST = find_stage(STAGES, "8")  # the capstone after it has no assignment
FOREIGN = 500  # todos of somebody else
PATIENT = ("--answer-within=20",)  # other tests run beside it
IMPATIENT = ("--answer-within=0.5", "--start-within=2")

# The exit code for each kind of odd server: 2 if it never answers.
ODD = {
    **dict.fromkeys(["silent", "closes", "garbage"], 2),
    **dict.fromkeys(["html", "redirects", "cut", "crashes", "hangs", "endless", "drips"], 1),
}


def reference(stage: Stage = FIRST) -> tuple[str, ...]:
    """Return the arguments that grade a stage like a learner's solution."""
    command = f"{stage_python(stage)} -m uvicorn app.main:app --port {{port}}"
    return (f"--stage={stage.number}", f"--cmd={command}", f"--cwd={ROOT / stage.directory}")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a reference that a command started; several tests read it."""
    options = ("--markdown=report.md", "--strict", *PATIENT)  # craft counts, too
    return grade(tmp_path_factory.mktemp("good"), *reference(REFERENCE), *options)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_reference_of_the_last_stage_earns_every_row(tmp_path: Path) -> None:
    """Other servers are graded up to stage 8 by default: see `test_solutions.py`."""
    report = grade(tmp_path, *reference(LAST), "--strict", *PATIENT)
    assert report.exit_code == 0, report.printed
    assert set(report.statuses.values()) == {"pass", "not_checked"}
    assert report.json["summary"]["earned"] == report.json["summary"]["checkable"] >= 40


class TestTheReference:
    """The reference of a stage, graded once."""

    def test_the_reference_earns_every_row_up_to_its_stage(self, good: Report) -> None:
        assert good.exit_code == 0, good.printed
        assert set(good.statuses.values()) == {"pass", "not_checked"}
        stages = {row[0] for row, status in good.statuses.items() if status == "pass"}
        assert stages == {str(number) for number in range(1, REFERENCE.number + 1)}
        summary = good.json["summary"]
        assert summary["earned"] == summary["checkable"] >= 15
        score = f"{summary['earned']} earned / {summary['checkable']} checkable"
        assert f"Sum: {score} / {summary['total']} total" in good.printed

    def test_the_report_for_programs_has_the_form_that_they_rely_on(self, good: Report) -> None:
        content = good.json
        assert (content["schema"], content["stage"]) == (1, REFERENCE.number)
        first = [row for row in good.statuses if row.startswith("1.")]
        assert first == [f"1.{row}" for row in range(1, 7)]  # 1.7 has ended
        for row in content["requirements"]:
            assert row["status"] in ("pass", "fail", "blocked", "not_checked", "error")
            assert row["stage"] == int(row["id"][0])

    def test_every_report_is_written(self, good: Report) -> None:
        cases = ElementTree.fromstring(good.file("report.xml")).findall(".//testcase")  # noqa: S314
        assert len(cases) == len(good.statuses) == good.json["summary"]["total"]
        assert "| 1.3 | Add a task | ✅ pass |" in good.file("report.md")
        assert '<th scope="row">1.3</th><td>Add a task</td><td>pass</td>' in good.file(
            "report.html"
        )

    def test_a_report_in_a_file_has_no_colours(self, good: Report) -> None:
        assert "\x1b" not in good.printed


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchedServer]:
    """A running reference with many todos of another user."""
    command = [str(stage_python(FIRST)), "-m", "uvicorn", "app.main:app", "--port", "{port}"]
    app = ["--app-dir", str(ROOT / FIRST.directory)]
    server = LaunchedServer([*command, *app], tmp_path_factory.mktemp("up"))
    server.start()
    with Api(server) as somebody:
        for number in range(FOREIGN):
            somebody.create_todo(f"of somebody else {number}")
    yield server
    server.end()


class TestAServerThatIsUp:
    """One server with data, graded twice by its address."""

    def test_a_running_server_with_data_is_graded(self, up: LaunchedServer, tmp_path: Path) -> None:
        report = grade(tmp_path, "--stage=1", f"--base-url={up.base_url}")
        assert up.exit_code is None
        assert report.exit_code == 0, report.printed
        assert report.json["summary"]["suggestions"] == 0
        assert report.statuses["1.7"] == "not_checked"
        assert "not looked at: needs --cmd" in report.printed

    def test_a_roster_is_graded_to_its_end_and_becomes_a_matrix(
        self, up: LaunchedServer, tmp_path: Path
    ) -> None:
        command = f"{stage_python(FIRST)} -m uvicorn app.main:app --port {{port}}"
        with (tmp_path / "roster.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "base_url", "cmd", "cwd"])
            writer.writerow(["=Mallory()", "", f'{sys.executable} -c "def"', ""])
            writer.writerow(["Nobody", "", "", ""])
            writer.writerow(["Ада <b>", "", command, str(ROOT / FIRST.directory)])
            writer.writerow(["Bob", up.base_url, "", ""])
        report = grade(
            tmp_path,
            *("--stage=1", "--roster", "roster.csv", "--csv=matrix.csv", "--html=matrix.html"),
        )
        rows = list(csv.DictReader(io.StringIO(report.file("matrix.csv"))))
        assert [row["name"] for row in rows] == ["'=Mallory()", "Nobody", "Ада <b>", "Bob"]
        assert [row["earned"] for row in rows] == ["0", "0", "7", "6"]
        assert [row["1.3"] for row in rows] == ["error", "error", "pass", "pass"]
        assert [row["1.7"] for row in rows] == ["error", "error", "pass", "not_checked"]
        assert "Ада &lt;b&gt;" in report.file("matrix.html")
        assert (
            "=Mallory(): 0 earned / 0 checkable / 7 total  (SyntaxError: invalid" in report.printed
        )
        assert report.exit_code == 2


def odd(kind: str) -> tuple[str, ...]:
    """Return the arguments that grade a server of this kind."""
    # From stage 2 on the grader first checks for the earlier stages.
    stage = {"broken-websocket": 8, "drips": 3}.get(kind, 1)
    # In half a second an endless answer has a gigabyte, which is too expensive here.
    more = ("--answer-within=0.1",) if kind == "endless" else ()
    return (f"--stage={stage}", f"--cmd={odd_server(kind)}", *IMPATIENT, *more)


def assert_it_has_a_report(kind: str, exit_code: int, statuses: Set[str], printed: str) -> None:
    """Nothing passes; a possible fault of ours costs no points."""
    assert exit_code == ODD[kind], printed
    assert "pass" not in statuses
    assert (statuses == {"error"}) == (ODD[kind] == 2)


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind not in ("html", "crashes")])
def test_each_odd_server_gets_a_report(kind: str) -> None:
    result, printed = judge_here(*odd(kind))
    statuses = {row.status for row in result.rows}
    assert_it_has_a_report(kind, result.exit_code, statuses, printed)
    assert result.score.earned == 0
    assert "torn down" not in printed  # a skipped test must not fail the next one


def test_the_report_shows_the_answer_of_a_chat_without_websocket() -> None:
    result, printed = judge_here(*odd("broken-websocket"))
    assert result.exit_code == 1, printed
    statuses = {row.id: row.status for row in result.rows}
    assert "pass" not in {statuses[row] for row in ("8.1", "8.2", "8.3", "8.7")}
    frames = [failure.frames for row in result.rows for failure in row.failures]
    assert any("101 Switching Protocols" in text for text in frames)


def test_the_report_shows_the_request_that_ended_the_server_and_its_last_output() -> None:
    result, printed = judge_here(*odd("crashes"))
    assert_it_has_a_report("crashes", result.exit_code, {r.status for r in result.rows}, printed)
    first = next(failure for row in result.rows for failure in row.failures)
    assert first.curl.startswith("curl -i -X POST")
    assert "this is the end" in first.log
    assert "exit code 3" in printed


def test_answers_are_never_markup_and_the_report_is_in_russian(tmp_path: Path) -> None:
    report = grade(tmp_path, *odd("html"), "--lang=ru", "--hint=3")
    assert_it_has_a_report("html", report.exit_code, {*report.statuses.values()}, report.printed)
    assert report.json["summary"]["earned"] == 0

    page = report.file("report.html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert MARKUP in report.printed

    rows = {row["id"]: row for row in report.json["requirements"]}
    assert rows["1.3"]["text"] == "Добавление задачи"
    assert "Документация FastAPI" in rows["1.1"]["hint"]
    assert "Подсказка: " in report.printed
    assert "Этап 1: Список задач в памяти" in report.printed
    assert json.loads(report.file(".grade/hints.json"))["1.1"]["hint"] == 1


def test_a_missing_server_is_exit_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "ANSWERS_WITHIN", 0.2)
    report = grade_here(tmp_path, "--stage=1", "--base-url=http://127.0.0.1:9")
    assert (report.exit_code, set(report.statuses.values())) == (2, {"error"})
    assert "nothing usable answers at http://127.0.0.1:9" in report.printed


def test_a_missing_command_names_the_searched_directory(tmp_path: Path) -> None:
    report = grade_here(tmp_path, "--stage=1", "--cmd=no-such-server {port}")
    assert report.exit_code == 2
    assert "no such command no-such-server: make a `.venv` in" in report.printed


def test_an_invalid_command_line_is_one_clear_line(tmp_path: Path) -> None:
    report = grade_here(tmp_path, "--stage=99", "--base-url=http://127.0.0.1:9")
    assert report.exit_code == 2
    assert report.errors.startswith("stage '99' does not exist: choose one of 1")
    assert len(report.errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--cwd=.", "--cmd=x"), "capstone/4 is checked by the course's own tests, which start"),
        ((), "give the directory of your capstone: --stage capstone/4 --cwd DIR"),
        (("--cwd=.", "--row=C.1"), "--row C.1: capstone/4 has no such row"),
    ],
)
def test_a_wrong_command_line_for_a_chapter_is_one_clear_line(
    words: tuple[str, ...], problem: str, tmp_path: Path
) -> None:
    report = grade_here(tmp_path, "--stage=capstone/4", *words)
    assert report.exit_code == 2
    assert report.errors.startswith(problem)
    assert len(report.errors.splitlines()) == 1


def test_a_directory_without_an_app_is_not_graded_as_a_chapter(tmp_path: Path) -> None:
    report = grade_here(tmp_path, "--stage=capstone/4", "--cwd=.")
    assert (report.exit_code, set(report.statuses.values())) == (2, {"error"})
    assert "has no app: name the directory of your capstone" in report.printed


@pytest.mark.slow
def test_the_finished_capstone_earns_a_row_of_a_chapter(tmp_path: Path) -> None:
    directory = ROOT / load_course()[-1].directory
    report = grade(tmp_path, "--stage=capstone/4", f"--cwd={directory}", "--row=C.15")
    assert (report.exit_code, report.statuses) == (0, {"C.15": "pass"}), report.printed
    assert "Seeing: metrics, logs, traces, alerts" in report.printed


def test_one_row_of_a_stage_can_be_graded(up: LaunchedServer, tmp_path: Path) -> None:
    report = grade(tmp_path, "--stage=1", f"--base-url={up.base_url}", "--row=1.2")
    assert report.statuses == {"1.2": "pass"}, report.printed


def test_a_profile_translates_other_names_and_a_fixed_port(
    tmp_path: Path,
) -> None:
    port = free_port()
    profile = f'port = {port}\n[paths]\n"/todos" = "/api/v1/tasks"\n'
    profile += '[fields.todos]\ntitle = "name"\n'
    (tmp_path / "profile.toml").write_text(profile, encoding="utf-8")
    result, printed = judge_here(
        *("--stage=1", f"--cwd={HERE}", f"--profile={tmp_path / 'profile.toml'}"),
        f"--cmd={stage_python(FIRST)} -m uvicorn renamed:app --port {port}",
        *("--env", f"STAGE_DIRECTORY={ROOT / FIRST.directory}"),
    )
    assert result.score.earned == result.score.checkable == 6, printed
    # It also fails craft tests, and the report shows them.
    assert "head answers like get without a body" in printed
    assert result.exit_code == 0
    # That needs a second server, but there is only one port.
    assert {row.id: row.status for row in result.rows}["1.7"] == "not_checked"


def test_watch_shows_the_effect_of_a_change_at_once(tmp_path: Path) -> None:
    solution, report = tmp_path / "solution", tmp_path / "report.json"
    shutil.copytree(ROOT / FIRST.directory, solution, ignore=shutil.ignore_patterns("__pycache__"))
    service = solution / "app" / "todos" / "service.py"
    right = service.read_text(encoding="utf-8")
    service.write_text(f"{right}\ndef", encoding="utf-8")  # it does not start

    def says(status: str) -> bool:
        try:
            rows = json.loads(report.read_text(encoding="utf-8"))["requirements"]
        except (FileNotFoundError, ValueError):  # missing, or incomplete
            return False
        return bool({row["id"]: row["status"] for row in rows}["1.1"] == status)

    arguments = [*reference()[:2], f"--cwd={solution}", "--watch", "--json=report.json"]
    log = tmp_path / "printed.txt"
    with log.open("wb") as file:
        watching = subprocess.Popen(
            grade_command(tmp_path, *arguments), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: says("error"), within=120)
        service.write_text(right, encoding="utf-8")
        eventually(lambda: says("pass"), within=120)
    finally:
        watching.terminate()
        watching.wait(timeout=60)
    printed = log.read_text(encoding="utf-8")
    # The grader ends by the signal also between the report and the next change.
    assert watching.returncode in (0, INTERRUPTED), printed
    assert "Changed: app/todos/service.py; grading again" in printed
    assert "Sum: 7 earned / 7 checkable / 7 total" in printed


def test_each_change_starts_a_grade_also_one_during_a_grade(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    end = threading.Event()
    news = changes(tmp_path, [tmp_path / "report.json"], end)

    next(news)  # the first grade begins without a change
    (tmp_path / "main.py").write_text("edited = 1\n", encoding="utf-8")  # meanwhile
    assert next(news)
    (tmp_path / "report.json").write_text("{}", encoding="utf-8")
    (tmp_path / "main.py").write_text("edited = 2\n", encoding="utf-8")
    changed = {Path(path).name for _, path in next(news)}
    assert changed == {"main.py"}, "a report does not start a grade"
    end.set()
    assert list(news) == []
