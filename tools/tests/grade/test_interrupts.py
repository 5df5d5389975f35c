"""Ctrl-C and SIGTERM end everything that was started, even a server that ignores them."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from course.catalog.stages import ROOT
from course.harness.server import PROCESSES, LaunchedServer, end_noted_processes
from course.harness.signals import interruptible
from course.harness.waiting import eventually
from course.tests import odd_servers
from course.tests.test_server import runs
from tools.tests.grade.running import grade_command

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="not checked: signals are POSIX"),
]
SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
ODD = odd_servers.__file__
DEAF = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
DEAF += "open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"


def pid_in(file: Path) -> int:
    """Return the process id that a server wrote into a file; 0 until then."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_grading_leaves_no_server_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    pid_file = tmp_path / "pid"
    server = f"{sys.executable} {ODD} {{port}} deaf"
    arguments = ["--stage=1", f"--cmd={server}", "--watch", "--env", f"PID_FILE={pid_file}"]
    log = tmp_path / "printed.txt"
    with log.open("wb") as file, interruptible():
        grading = subprocess.Popen(
            grade_command(tmp_path, *arguments), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: pid_in(pid_file) and "tests, 1." in log.read_text("utf-8"), within=60)
        assert runs(pid_in(pid_file))
        grading.send_signal(number)
        grading.send_signal(number)  # a second Ctrl-C does not interrupt the cleanup
        grading.wait(timeout=30)
    finally:
        grading.kill()
        grading.wait()
    assert not runs(pid_in(pid_file))
    assert "Traceback" not in log.read_text("utf-8")


def test_servers_of_a_pytest_that_was_killed_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = tmp_path / "processes"
    monkeypatch.setenv(PROCESSES, str(noted))
    servers = [
        LaunchedServer([sys.executable, str(ODD), "{port}", "hangs"], tmp_path / str(n))
        for n in range(2)
    ]
    for server in servers:
        server.start()
    servers[0].end()
    assert noted.read_text("ascii").split() == [
        *(f"+{server.pid}" for server in servers),
        f"-{servers[0].pid}",
    ]
    end_noted_processes(noted)
    eventually(lambda: servers[1].exit_code == -signal.SIGKILL, within=10)
    servers[1].end()


def in_foreground(directory: Path, *command: str) -> list[str]:
    """Return the command that runs another one in the foreground."""
    source = f"""
        import os, sys
        from pathlib import Path
        from tools.run.foreground import run_in_foreground
        command, place = {[*command]!r}, Path({str(directory)!r})
        sys.exit(run_in_foreground(command, place, os.environ, within=0.3))
    """
    return [sys.executable, "-c", textwrap.dedent(source)]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_in_the_foreground_ends_with_a_signal_though_it_ignores_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "pid"
    deaf = in_foreground(tmp_path, sys.executable, "-c", DEAF, str(file))
    with interruptible():
        running = subprocess.Popen(deaf, cwd=ROOT)
    try:
        eventually(lambda: pid_in(file) > 0, within=30)
        running.send_signal(number)
        assert running.wait(timeout=20) == 128 + number
    finally:
        running.kill()
        running.wait()
    eventually(lambda: not runs(pid_in(file)), within=5)


def test_a_process_that_a_command_left_ends_with_the_command(tmp_path: Path) -> None:
    command = in_foreground(tmp_path, "sh", "-c", "sleep 60 & echo $! >pid; exit 3")
    done = subprocess.run(command, cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 3
    eventually(lambda: not runs(pid_in(tmp_path / "pid")), within=5)
