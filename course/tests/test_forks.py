"""A fork is a process like any other: its environment, log, group, signals and exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from course.harness.forks import CAN_FORK, Child, start_process
from course.harness.waiting import eventually

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="processes are forked on Linux only")

Start = Callable[..., Child]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty app directory; one fork server serves all tests."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture
def start(tmp_path: Path, app: Path) -> Start:
    """Starts a program with this source as a module of the app."""

    def start(source: str, *arguments: str, **environment: str) -> Child:
        program = app / "program.py"
        # Not while another program is about to read it.
        if not program.exists() or program.read_text(encoding="utf-8") != source:
            program.write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", "program", *arguments]
        environment |= {"PYTHONPATH": str(app), "PYTHONDONTWRITEBYTECODE": "1"}
        return start_process(command, tmp_path, environment, tmp_path / "log", app=app)

    return start


def log(tmp_path: Path) -> str:
    """Return the output of the programs."""
    file = tmp_path / "log"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def test_a_fork_gets_its_arguments_environment_and_directory(start: Start, tmp_path: Path) -> None:
    os.environ["OF_THE_TESTS"] = "1"
    source = "import os, sys\nprint(sys.argv[1:], os.getcwd(), sorted(os.environ), __name__)"
    assert start(source, "--one", "two", NAME="value").wait(10) == 0
    del os.environ["OF_THE_TESTS"]
    names = ["NAME", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"]
    assert log(tmp_path) == f"['--one', 'two'] {tmp_path} {names} __main__\n"


def test_each_fork_imports_the_app_again(start: Start, tmp_path: Path) -> None:
    assert start("print('one')").wait(10) == 0
    assert start("print('second')").wait(10) == 0
    assert log(tmp_path) == "one\nsecond\n"


def test_an_error_is_in_the_log_and_in_the_exit_code(start: Start, tmp_path: Path) -> None:
    assert start("import sys\nsys.exit(3)").wait(10) == 3
    assert start("raise ValueError('of the program')").wait(10) == 1
    assert "ValueError: of the program" in log(tmp_path)


def test_signals_end_a_fork_like_any_program(start: Start, tmp_path: Path) -> None:
    waiting = "import time\nprint('here')\ntime.sleep(60)"
    for number, code in ((signal.SIGTERM, -signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)):
        process = start(waiting)
        assert eventually(lambda: "here" in log(tmp_path))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(10) == code
        assert process.poll() == code
        (tmp_path / "log").unlink()


def test_ctrl_c_raises_keyboard_interrupt_in_a_fork(start: Start, tmp_path: Path) -> None:
    source = "import time\nprint('here')\ntry:\n    time.sleep(60)\n"
    source += "except KeyboardInterrupt:\n    print('interrupted')"
    process = start(source)
    assert eventually(lambda: "here" in log(tmp_path))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert "interrupted" in log(tmp_path)


def test_the_group_of_a_fork_ends_with_all_that_it_started(start: Start, tmp_path: Path) -> None:
    source = "import subprocess\nchild = subprocess.Popen(['sleep', '60'])\n"
    source += "print(child.pid)\nchild.wait()"
    process = start(source, PATH=os.environ["PATH"])
    assert eventually(lambda: log(tmp_path).strip().isdigit())
    child = int(log(tmp_path))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert eventually(lambda: _has_ended(child))


def test_many_forks_at_once_have_their_own_exit_codes(start: Start) -> None:
    source = "import sys\nsys.exit(int(sys.argv[1]))"
    processes = [start(source, str(number)) for number in range(10)]
    assert [process.wait(10) for process in processes] == list(range(10))


def _has_ended(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip() in ("", "Z", "Z+", "Zs")
