"""The tester is tested: what is right scores, what is broken gets a report, never a traceback."""

import csv
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.grading.odd_servers import MARKUP
from tests.grading.running import HERE, Report, grade, grade_command, odd_server
from tests.harness.driver import Api
from tests.harness.ports import free_port
from tests.harness.server import LaunchedServer
from tests.harness.waiting import eventually
from tools.course import ROOT, Stage, find_stage, load_course
from tools.environment import stage_python

STAGES = load_course()
FIRST = find_stage(STAGES, "1")
LAST = find_stage(STAGES, "8")  # what comes after it has no assignment of its own
FOREIGN = 500  # todos of somebody else
IMPATIENT = ("--answer-within=0.5", "--start-within=3")

# The exit code that each kind of odd server leads to: 2 where nothing ever answered.
ODD = {
    **dict.fromkeys(["silent", "closes", "garbage"], 2),
    **dict.fromkeys(["html", "redirects", "cut", "crashes", "hangs", "endless", "drips"], 1),
}


def reference(stage: Stage = FIRST) -> tuple[str, ...]:
    """Return the arguments that grade a stage as somebody's solution."""
    command = f"{stage_python(stage)} -m uvicorn app.main:app --port {{port}}"
    return (f"--stage={stage.number}", f"--cmd={command}", f"--cwd={ROOT / stage.directory}")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Report]]:
    """The reports on servers that are not as they should be; they are made side by side."""

    def one(kind: str, directory: Path) -> Report:
        # From stage 2 on it is asked first whether it has the earlier ones.
        stage = {"broken-websocket": 8, "drips": 3}.get(kind, 1)
        arguments = (f"--stage={stage}", f"--cmd={odd_server(kind)}", *IMPATIENT)
        russian = ("--lang=ru", "--hint=3") if kind == "html" else ()
        return grade(directory, *arguments, *russian)

    with ThreadPoolExecutor(4) as pool:
        longest = ["broken-websocket", "crashes", "hangs", "endless"]
        kinds = dict.fromkeys([*longest, *ODD])
        reports: dict[str, Future[Report]] = {
            kind: pool.submit(one, kind, tmp_path_factory.mktemp(kind)) for kind in kinds
        }
        yield lambda kind: reports[kind].result()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report on the reference."""
    return grade(tmp_path_factory.mktemp("good"), *reference(), "--markdown=report.md")


def test_the_reference_earns_all_that_can_be_checked(good: Report) -> None:
    summary = good.json["summary"]
    assert summary["earned"] == summary["checkable"] == summary["total"] == 7
    assert (good.exit_code, good.statuses["1.7"]) == (0, "pass")
    assert "7 earned / 7 checkable / 7 total" in good.printed


def test_the_reference_of_the_last_stage_earns_every_row_up_to_it(tmp_path: Path) -> None:
    report = grade(tmp_path, *reference(LAST))
    assert report.exit_code == 0, report.printed
    assert set(report.statuses.values()) == {"pass", "not_checked"}
    stages = {row[0] for row, status in report.statuses.items() if status == "pass"}
    assert stages == {str(number) for number in range(1, LAST.number + 1)}
    assert report.json["summary"]["earned"] == report.json["summary"]["checkable"] >= 40


def test_the_report_for_programs_has_the_form_that_they_rely_on(good: Report) -> None:
    content = good.json
    assert (content["schema"], content["stage"]) == (1, 1)
    assert list(good.statuses) == [f"1.{row}" for row in range(1, 8)]
    for row in content["requirements"]:
        assert row["status"] in ("pass", "fail", "blocked", "not_checked", "error")
        assert row["stage"] == 1


def test_every_report_is_written(good: Report) -> None:
    cases = ElementTree.fromstring(good.file("report.xml")).findall(".//testcase")  # noqa: S314
    assert len(cases) == 7
    assert "| 1.3 | Add a task | ✅ pass |" in good.file("report.md")
    assert '<th scope="row">1.3</th><td>Add a task</td><td>pass</td>' in good.file("report.html")


def test_without_colours_there_is_none(good: Report) -> None:
    assert "\x1b" not in good.printed


def test_a_server_that_is_up_is_graded_whatever_is_in_it_and_again(tmp_path: Path) -> None:
    command = [str(stage_python(FIRST)), "-m", "uvicorn", "app.main:app", "--port", "{port}"]
    app = ["--app-dir", str(ROOT / FIRST.directory)]
    server = LaunchedServer([*command, *app], tmp_path / "server")
    server.start()
    try:
        with Api(server) as somebody:
            for number in range(FOREIGN):
                somebody.create_todo(f"of somebody else {number}")
        reports = [grade(tmp_path, "--stage=1", f"--base-url={server.base_url}") for _ in "12"]
        assert server.exit_code is None
    finally:
        server.end()
    for report in reports:
        assert report.exit_code == 0, report.printed
        assert report.statuses["1.7"] == "not_checked"
        assert "needs control of the server process" in report.printed


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_server_does_there_is_a_report(odd: Callable[[str], Report], kind: str) -> None:
    report = odd(kind)
    assert report.exit_code == ODD[kind], report.printed
    statuses = set(report.statuses.values())
    assert "pass" not in statuses
    # What is our own fault, or might be, costs nobody anything.
    assert (statuses == {"error"}) == (ODD[kind] == 2)
    assert report.json["summary"]["earned"] == 0


def test_a_chat_that_speaks_no_websocket_has_a_report_with_what_it_said(
    odd: Callable[[str], Report],
) -> None:
    report = odd("broken-websocket")
    assert report.exit_code == 1
    assert "pass" not in {report.statuses[row] for row in ("8.1", "8.2", "8.3", "8.7")}
    frames = [f["frames"] for row in report.json["requirements"] for f in row["failures"]]
    assert any("101 Switching Protocols" in text for text in frames)


def test_what_broke_the_server_is_told_with_its_last_words(odd: Callable[[str], Report]) -> None:
    report = odd("crashes")
    failures = [f for row in report.json["requirements"] for f in row["failures"]]
    assert failures[0]["curl"].startswith("curl -i -X POST")
    assert "this is the end" in failures[0]["log"]
    assert "exit code 3" in report.printed


def test_what_a_server_answers_is_no_markup_in_a_report(odd: Callable[[str], Report]) -> None:
    page = odd("html").file("report.html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert MARKUP in odd("html").printed


def test_where_nobody_listens_it_is_our_fault(tmp_path: Path) -> None:
    report = grade(tmp_path, "--stage=1", "--base-url=http://127.0.0.1:9")
    assert (report.exit_code, set(report.statuses.values())) == (2, {"error"})
    assert "nothing usable answers at http://127.0.0.1:9" in report.printed


def test_a_command_that_is_not_there_says_where_it_is_looked_for(tmp_path: Path) -> None:
    report = grade(tmp_path, "--stage=1", "--cmd=no-such-server {port}")
    assert report.exit_code == 2
    assert "there is no command no-such-server: make a `.venv` in" in report.printed


def test_a_command_that_makes_no_sense_is_one_clear_line(tmp_path: Path) -> None:
    report = grade(tmp_path, "--stage=99", "--base-url=http://127.0.0.1:9")
    assert report.exit_code == 2
    assert report.errors.startswith("there is no stage '99': choose one of 1")
    assert len(report.errors.splitlines()) == 1


def test_a_solution_with_names_of_its_own_is_graded_by_its_profile(tmp_path: Path) -> None:
    profile = '[paths]\n"/todos" = "/api/v1/tasks"\n\n[fields.todos]\ntitle = "name"\n'
    (tmp_path / "profile.toml").write_text(profile, encoding="utf-8")
    command = f"{stage_python(FIRST)} -m uvicorn renamed:app --port {{port}}"
    report = grade(
        tmp_path,
        *("--stage=1", f"--cmd={command}", f"--cwd={HERE}", "--profile=profile.toml"),
        *("--env", f"STAGE_DIRECTORY={ROOT / FIRST.directory}"),
    )
    summary = report.json["summary"]
    assert summary["earned"] == summary["checkable"] == 7, report.printed


def test_a_solution_with_a_port_of_its_own_is_asked_there(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "profile.toml").write_text(f"port = {port}\n", encoding="utf-8")
    _, _, place = reference()
    command = f"{stage_python(FIRST)} -m uvicorn app.main:app --port {port}"
    report = grade(tmp_path, "--stage=1", f"--cmd={command}", place, "--profile=profile.toml")
    summary = report.json["summary"]
    assert summary["earned"] == summary["checkable"] == 6, report.printed
    assert report.statuses["1.7"] == "not_checked"  # it takes a second server


def test_whoever_writes_a_solution_sees_at_once_what_a_change_does(tmp_path: Path) -> None:
    solution, report = tmp_path / "solution", tmp_path / "report.json"
    shutil.copytree(ROOT / FIRST.directory, solution, ignore=shutil.ignore_patterns("__pycache__"))
    store = solution / "app" / "todos" / "store.py"
    right = store.read_text(encoding="utf-8")
    wrong = right.replace("[offset : offset + limit]", "[:limit]")
    assert wrong != right

    def says(status: str) -> bool:
        try:
            rows = json.loads(report.read_text(encoding="utf-8"))["requirements"]
        except (FileNotFoundError, ValueError):  # not there yet, or not all of it
            return False
        return bool({row["id"]: row["status"] for row in rows}["1.1"] == status)

    arguments = [*reference()[:2], f"--cwd={solution}", "--watch", "--json=report.json"]
    log = tmp_path / "printed.txt"
    with log.open("wb") as file:
        watching = subprocess.Popen(
            grade_command(tmp_path, *arguments), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        time.sleep(3)  # it grades: what comes now is not forgotten
        store.write_text(wrong, encoding="utf-8")
        eventually(lambda: says("fail"), within=60)
        store.write_text(right, encoding="utf-8")
        eventually(lambda: says("pass"), within=60)
    finally:
        watching.terminate()
        watching.wait(timeout=30)
    printed = log.read_text(encoding="utf-8")
    assert watching.returncode == 0, printed
    assert "Traceback" not in printed


def test_a_roster_is_graded_to_its_end_and_becomes_a_matrix(tmp_path: Path) -> None:
    command = f"{stage_python(FIRST)} -m uvicorn app.main:app --port {{port}}"
    with (tmp_path / "roster.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "base_url", "cmd", "cwd"])
        writer.writerow(["=Mallory()", "", f'{sys.executable} -c "def"', ""])
        writer.writerow(["Nobody", "", "", ""])
        writer.writerow(["Ада <b>", "", command, str(ROOT / FIRST.directory)])
    report = grade(
        tmp_path,
        *("--stage=1", "--roster", "roster.csv", "--csv=matrix.csv", "--html=matrix.html"),
    )
    rows = list(csv.DictReader(io.StringIO(report.file("matrix.csv"))))
    assert [row["name"] for row in rows] == ["'=Mallory()", "Nobody", "Ада <b>"]
    assert [row["earned"] for row in rows] == ["0", "0", "7"]
    assert [row["1.3"] for row in rows] == ["error", "error", "pass"]
    assert "Ада &lt;b&gt;" in report.file("matrix.html")
    assert "=Mallory(): 0 earned / 0 checkable / 7 total  (SyntaxError: invalid" in report.printed
    assert report.exit_code == 2


def test_a_learner_is_spoken_to_in_russian_where_that_is_asked_for(
    odd: Callable[[str], Report],
) -> None:
    report = odd("html")
    rows = {row["id"]: row for row in report.json["requirements"]}
    assert rows["1.3"]["text"] == "Добавление задачи"
    assert "Документация FastAPI" in rows["1.1"]["hint"]
    assert "Подсказка: " in report.printed
    assert "Этап 1: Список задач в памяти" in report.printed
    assert json.loads(report.file(".grade/hints.json"))["1.1"]["hint"] == 1
