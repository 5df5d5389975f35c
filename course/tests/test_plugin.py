"""The harness as a person sees it: options, skipped tests, and the report of a failure."""

import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, load_course
from course.harness.exchange import FRAMES, FrameLog, mask
from course.harness.learners import NEEDS_CMD, Solution
from course.harness.signals import interruptible
from course.harness.waiting import eventually
from course.tests.conftest import SAMPLE_SERVER, Sample
from course.tests.inner_pytest import HARNESS, TEST_FILE, WITHOUT, run_pytest
from course.tests.sample_server import TOKEN

FURTHEST = len(load_course())

LAUNCH_SAMPLE = f"""
import sys
import pytest
from course.harness.driver import Api
from course.harness.server import LaunchedServer

def launch(directory):
    command = [sys.executable, {str(SAMPLE_SERVER)!r}, "{{port}}", "users"]
    server = LaunchedServer(command, directory, has_users=True)
    server.start()
    return server

@pytest.fixture
def launched(tmp_path):
    server = launch(tmp_path)
    yield server
    server.end()
"""


def command_for(test_file: Path) -> list[str]:
    """Return a pytest command with the harness and no plugin of ours."""
    return [sys.executable, "-m", "pytest", *HARNESS, *WITHOUT, str(test_file)]


def environment() -> dict[str, str]:
    """Return the environment of such a command, which must find the harness."""
    return os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def test_a_failure_shows_the_exchange_a_curl_line_and_the_log(tmp_path: Path) -> None:
    source = f"""{LAUNCH_SAMPLE}
def test_it(launched):
    api = Api(launched).as_new_user()
    body = {{"title": "it's a \\"quoted\\" title", "password": "-".join(["se", "cret"])}}
    answer = api.request("POST", "/todos", json=body, headers={{"X-Odd": "a'b"}})
    assert answer.status_code == 999
"""
    # Like a person: a separate process that loads the harness by its name.
    test_file = tmp_path / TEST_FILE
    test_file.write_text(source, encoding="utf-8")
    done = subprocess.run(
        command_for(test_file), cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    printed = done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, printed + done.stderr
    assert re.search(r"POST http://127\.0\.0\.1:\d+/auth/register\n", printed)
    assert "→ 201" in printed
    assert '"POST /todos HTTP/1.1" 201' in printed  # the server's log
    assert "se-cret" not in printed
    assert '"password":"***"' in printed
    assert TOKEN not in printed
    assert "authorization: Bearer $TOKEN" in printed
    curl = shlex.split(re.findall(r"^curl .*$", printed, re.MULTILINE)[0])
    assert curl[:4] == ["curl", "-i", "-X", "POST"]
    assert curl[4].endswith("/todos")
    assert "authorization: Bearer $TOKEN" in curl
    assert "x-odd: a'b" in curl
    assert json.loads(curl[-1]) == {"title": 'it\'s a "quoted" title', "password": "***"}


def test_a_body_that_is_not_text_is_named_and_not_printed(tmp_path: Path) -> None:
    source = f"""{LAUNCH_SAMPLE}
def test_it(launched):
    api = Api(launched)
    api.request("PUT", "/todos/1", content=bytes(range(256)))
    assert False
"""
    printed = run_pytest(tmp_path, source)
    assert "(256 bytes, not text)" in printed
    assert "--data-binary @body" in printed


def test_a_test_that_passes_leaves_nothing_in_the_report_of_the_next(tmp_path: Path) -> None:
    source = f"""{LAUNCH_SAMPLE}
def test_one(launched):
    Api(launched).request("GET", "/of-the-first-test")

def test_two():
    assert False
"""
    assert "of-the-first-test" not in run_pytest(tmp_path, source)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"access_token": "{TOKEN}"}}',
        '{"password": "hunter2-is-\\"quoted"}',
        '{"refresh_token": "hunter2-cut-in-the-middle',
        "username=ann&password=hunter2&scope=",
        "ws://127.0.0.1/ws/chat?token=hunter2",
        f"subprotocols bearer, {TOKEN}",
    ],
)
def test_a_secret_is_masked_wherever_it_is(text: str) -> None:
    assert "hunter2" not in mask(text)
    assert TOKEN not in mask(text)


def test_tests_that_need_control_of_the_process_are_not_checked_by_url(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample("users")
    server.start()
    source = """
def test_shared(api):
    assert api.create_todo()["id"] == 1

def test_own(launch):
    raise AssertionError("must not run")

def test_file(launched_server):
    raise AssertionError("must not run")

def test_source(stage_directory):
    raise AssertionError("must not run")
"""
    printed = run_pytest(tmp_path, source, f"--base-url={server.base_url}", "-rs")
    assert "1 passed, 3 skipped" in printed
    assert "not checked: needs control of the server process" in printed
    assert "not checked: needs the source of the app" in printed
    assert server.exit_code is None


def test_tests_that_need_the_own_app_skip_a_solution_with_that_reason(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample("users")
    server.start()
    source = """
def test_own(launch):
    raise AssertionError("must not run")

def test_file(launched_server):
    raise AssertionError("must not run")
"""
    options = [f"--base-url={server.base_url}", "--solution=any.json", "-rs"]
    printed = run_pytest(tmp_path, source, *options)
    assert "2 skipped" in printed
    assert "needs the course's own app, since the test starts it with other settings" in printed
    assert "needs the course's own app, since the test reads its database and log" in printed


def test_a_second_instance_of_a_solution_is_restarted_and_left_running(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample()
    server.start()
    command = (sys.executable, str(SAMPLE_SERVER), "{port}")
    given = {"PATH": os.environ["PATH"], "DATABASE_URL": "sqlite:///theirs.db"}
    solution = Solution(command, str(tmp_path), given)
    solution.write(tmp_path / "solution.json")
    source = """
from course.harness.driver import Api

def test_killed(restartable, server):
    assert restartable.base_url != server.base_url
    restartable.kill()

def test_again(restartable):
    restartable.restart()
    with Api(restartable) as api:
        given = api.request("GET", "/environment").json()["environment"]
    assert given["DATABASE_URL"].startswith("sqlite:///")
    assert "theirs" not in given["DATABASE_URL"]
"""
    options = [f"--base-url={server.base_url}", "--solution=solution.json"]
    assert "2 passed" in run_pytest(tmp_path, source, *options)
    assert server.exit_code is None


def test_without_a_command_no_server_is_restarted_and_no_secret_is_known(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample("users")
    server.start()
    source = """
def test_restart(restartable):
    raise AssertionError("must not run")

def test_secret(secret):
    raise AssertionError("must not run")
"""
    printed = run_pytest(tmp_path, source, f"--base-url={server.base_url}", "-rs")
    assert "2 skipped" in printed
    assert "[2]" in printed or printed.count(NEEDS_CMD) == 2


def test_a_secret_that_the_server_ignores_cannot_forge_tokens(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample("users")
    server.start()
    Solution((), str(tmp_path), {"JWT_SECRET": "of nobody"}).write(tmp_path / "solution.json")
    source = "def test_secret(secret):\n    raise AssertionError('must not run')\n"
    options = [f"--base-url={server.base_url}", "--solution=solution.json", "-rs"]
    printed = run_pytest(tmp_path, source, *options)
    assert "1 skipped" in printed
    assert "does not sign its tokens with the JWT_SECRET it was given" in printed


def test_tests_with_different_users_are_not_checked_without_users(
    tmp_path: Path, sample: Sample
) -> None:
    server = sample()
    server.start()
    source = """
import pytest

@pytest.mark.users
def test_apart(api):
    raise AssertionError("must not run")

def test_shared(api):
    assert api.create_todo()["authorization"] is None
"""
    printed = run_pytest(tmp_path, source, f"--base-url={server.base_url}", "-rs")
    assert "1 passed, 1 skipped" in printed
    assert "not checked: needs users, and this server has none" in printed


def test_websocket_frames_are_stored_without_secrets() -> None:
    frames = logging.Logger("of this test", logging.DEBUG)
    frames.addHandler(FrameLog())
    FRAMES.clear()
    frames.debug("> Authorization: Bearer opaque-secret")
    frames.debug("> GET /ws/chat?token=%s HTTP/1.1", TOKEN)
    frames.debug("< CLOSE 1008 (policy violation)")
    frames.debug("= connection is CLOSED")
    kept = "\n".join(FRAMES)
    FRAMES.clear()
    assert kept.splitlines()[-1] == "< CLOSE 1008 (policy violation)"
    assert "opaque-secret" not in kept
    assert TOKEN not in kept


def test_a_missing_server_is_reported_once(tmp_path: Path) -> None:
    source = "def test_one(api): ...\ndef test_two(api): ...\n"
    printed = run_pytest(tmp_path, source, "--base-url=http://127.0.0.1:9")
    assert printed.count("nothing usable answers at http://127.0.0.1:9") == 1


def test_a_requirement_that_ended_is_left_out_and_its_successor_named(tmp_path: Path) -> None:
    source = f"""
import pytest

@pytest.mark.until(stage={FURTHEST - 1}, successor="2.3")
def test_ended():
    raise AssertionError("must not run")

@pytest.mark.until(stage={FURTHEST}, successor="2.3")
def test_holds():
    pass
"""
    printed = run_pytest(tmp_path, source)
    assert "1 passed, 1 deselected" in printed
    assert "ended before this stage: test_ended → row 2.3" in printed


@pytest.mark.parametrize("name", ["stage02", "capstone"])
def test_the_suites_of_later_stages_are_left_out(tmp_path: Path, name: str) -> None:
    suite = tmp_path / name
    suite.mkdir()
    assert "1 deselected" in run_pytest(suite, "def test_later(): ...\n", "--stage=1")


def test_a_stage_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    printed = run_pytest(tmp_path, "def test_it(): ...\n", "--stage=99")
    assert "stage '99' does not exist: choose one of 1 (stage01_memory_todo)" in printed


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_server_behind(tmp_path: Path, signal_number: int) -> None:
    test_file = tmp_path / "test_sample.py"
    source = f"""{LAUNCH_SAMPLE}
import os, threading
from pathlib import Path

def test_it(tmp_path):
    # Not the fixture: it would end the server whatever the harness does.
    Path({str(tmp_path)!r}, "pid").write_text(str(launch(tmp_path).pid) + "\\n")
    threading.Event().wait(60)
"""
    test_file.write_text(source, encoding="utf-8")
    pid_file = tmp_path / "pid"
    with interruptible():
        process = subprocess.Popen(
            command_for(test_file),
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), within=60)
        process.send_signal(signal_number)
        process.wait(60)
    finally:
        process.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize("options", [("--stage=1",), ("--base-url=http://127.0.0.1:9",)])
def test_the_full_form_needs_its_stage_and_a_server_of_ours(
    tmp_path: Path, options: tuple[str]
) -> None:
    printed = run_pytest(tmp_path, "def test_it(): ...\n", "--deployment=full", *options)
    assert "ERROR: --deployment=full" in printed


def test_tests_of_the_other_form_are_left_out(tmp_path: Path) -> None:
    source = """
import pytest

@pytest.mark.deployment("full")
def test_full(): ...

@pytest.mark.deployment("plain")
def test_plain(): ...

def test_both(): ...
"""
    assert "2 passed, 1 deselected" in run_pytest(tmp_path, source)
    assert "2 passed, 1 deselected" in run_pytest(tmp_path, source, "--deployment=full")
