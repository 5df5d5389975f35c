"""Processes start with a clean environment, have a deadline, and end with all their children."""

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

from course.harness import server as server_module
from course.harness.driver import Api
from course.harness.ports import free_port
from course.harness.server import LaunchedServer, ReplicatedServer, ServerDidNotStart
from course.harness.waiting import eventually
from course.tests.conftest import SAMPLE_SERVER, Sample


def runs(pid: int) -> bool:
    """Return whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ask(server: LaunchedServer, path: str = "/environment") -> dict[str, object]:
    """Return the answer of the sample server."""
    answer: dict[str, object] = httpx.get(server.base_url + path, trust_env=False).json()
    return answer


def test_a_server_that_dies_at_the_start_is_reported_with_its_last_output(sample: Sample) -> None:
    with pytest.raises(ServerDidNotStart, match="DATABASE_URL is not valid") as stopped:
        sample("dies").start()
    assert stopped.value.exit_code == 3
    assert "exit code 3" in str(stopped.value)


def test_a_server_that_never_answers_is_ended_at_the_deadline(sample: Sample) -> None:
    server = sample("silent")
    with pytest.raises(ServerDidNotStart, match="gave no answer in time") as stopped:
        server.start(within=0.3)
    assert stopped.value.exit_code is None
    assert not runs(server.pid)


def test_a_server_that_stops_by_itself_reports_its_exit_code(sample: Sample) -> None:
    server = sample()
    server.start()
    assert server.exit_code is None
    assert server.stop() == server.exit_code == -signal.SIGTERM


def test_a_server_that_ignores_sigterm_is_killed(sample: Sample) -> None:
    server = sample("deaf")
    server.start()
    asked = time.monotonic()
    assert server.stop(within=0.3) == -signal.SIGKILL
    assert time.monotonic() - asked < 5
    assert not runs(server.pid)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_child_that_a_server_leaves_behind_is_ended_too(sample: Sample, end: str) -> None:
    server = sample("parent")
    server.start()
    child = int(re.findall(r"child (\d+)", server.log_text())[0])
    getattr(server, end)()
    eventually(lambda: not runs(child) or is_zombie(child))


def is_zombie(pid: int) -> bool:
    """Return whether a process is a zombie, which waits for its parent (here init)."""
    if not sys.platform.startswith("linux"):
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] == "Z"


def test_no_variable_of_our_environment_reaches_the_server(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "JWT_SECRET", "PYTHONPATH", "HTTP_PROXY", "FAVOURITE_COLOUR"):
        monkeypatch.setenv(name, "from outside")
    server = sample(MEDIA_DIR="chosen by the test")
    server.start()
    answer = ask(server)
    environment = answer["environment"]
    assert isinstance(environment, dict)
    harness_sets = {"PATH", "HOME", "LANG", "PYTHONUNBUFFERED"}
    system_sets = {"LC_CTYPE", "SYSTEMROOT", "__CF_USER_TEXT_ENCODING"}
    assert environment["MEDIA_DIR"] == "chosen by the test"
    assert set(environment) - system_sets == {*harness_sets, "MEDIA_DIR"} - system_sets
    assert "from outside" not in environment.values()
    assert environment["HOME"] == str(server.home)
    assert answer["directory"] == str(server.data_dir)
    assert list(server.data_dir.iterdir()) == []


def test_a_restart_keeps_the_address_and_the_log(sample: Sample) -> None:
    server = sample()
    server.start()
    address, first_pid, mark = server.base_url, server.pid, server.log_mark()
    server.restart()
    assert (server.base_url, server.pid != first_pid) == (address, True)
    assert ask(server)
    assert server.log_text().startswith(server.log_text()[:mark])
    assert "GET /environment" in server.log_since(mark)
    assert "GET /environment" in server.log_tail(1)


def test_a_taken_port_is_replaced_by_another(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        taken = holder.getsockname()[1]
        ports = iter([taken])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports, None) or free_port())
        server = sample()
        server.start()
    assert server.base_url != f"http://127.0.0.1:{taken}"
    assert ask(server)


def test_a_command_runs_with_the_settings_and_shows_its_exit_code(sample: Sample) -> None:
    server = sample(MEDIA_DIR="pictures")
    program = "import os; print(os.getcwd(), os.environ['MEDIA_DIR']); raise SystemExit(7)"
    done = server.run(os.path.basename(sys.executable), "-c", program)  # noqa: PTH119
    assert (done.returncode, done.stdout) == (7, f"{server.data_dir} pictures\n")
    with pytest.raises(FileNotFoundError, match="no such-program"):
        server.run("such-program")


def test_replicas_share_all_but_the_port_and_end_together(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE_SERVER), "{port}"]
    server = ReplicatedServer(command, tmp_path, processes=2, has_users=False)
    server.settings["OURS"] = "yes"
    server.start()
    try:
        answers = [httpx.get(f"{url}/environment", trust_env=False) for url in server.base_urls]
        said = [answer.json() for answer in answers]
        assert len(set(server.base_urls)) == 2
        assert said[0] == said[1]
        assert said[0]["environment"]["OURS"] == "yes"
        pids = [server.pid, *(replica.pid for replica in server.replicas)]
        assert server.stop() == -signal.SIGTERM
        assert not any(runs(pid) for pid in pids)
        server.start()
        server.kill()
        assert [replica.exit_code for replica in server.replicas] == [-signal.SIGKILL]
    finally:
        server.end()


def test_drivers_take_turns_among_replicas(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE_SERVER), "{port}", "users"]
    server = ReplicatedServer(command, tmp_path, processes=2, has_users=True)
    server.start()
    try:
        with Api(server) as visitor, Api(server) as next_visitor:
            assert visitor.base_url != next_visitor.base_url
            users = [visitor.as_new_user() for _ in range(3)]
            first, second, third = (user.base_url for user in users)
            assert first == third == visitor.base_url
            assert second == next_visitor.base_url
            assert users[1].with_token(None).base_url == second
    finally:
        server.end()
