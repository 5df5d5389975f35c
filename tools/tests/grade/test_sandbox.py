"""A stranger's solution in the sandbox can answer the grader and do nothing else.

The attacks need bubblewrap; the other tests run everywhere.
"""

import asyncio
import csv
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from course.harness.learners import LearnersServer, Solution
from course.harness.waiting import eventually
from tools.grade import confine, docker, sandbox
from tools.grade.limits import LIMITS, MIB, Limits
from tools.grade.sandbox import Sandbox, find_bubblewrap
from tools.tests.grade.running import HERE, grade, grade_here, judge_here

HOSTILE = HERE / "subjects" / "hostile.py"
HINTS = ROOT / "tools" / "grade" / "hints.toml"
SMALL = Limits(
    memory=256 * MIB, processes=40, open_files=200, file=8 * MIB, disk=32 * MIB,
    files=2000, memory_files=16 * MIB, seconds=60,
)  # fmt: skip
STAGE = find_stage(load_course(), "1")


IMAGE = os.environ.get("SANDBOX_IMAGE", "python:3.13-slim")  # for Docker: any with python3


def why_there_is_none() -> str:
    """Return why bubblewrap does not work on this machine; empty if it does."""
    try:
        find_bubblewrap()
    except CourseError as error:
        return str(error)
    return ""


def why_no_docker() -> str:
    """Return why a sandbox in Docker does not work here; empty if it does."""
    client = docker.find_docker()
    if client is None:
        return "there is no Docker here, or its engine is down"
    try:
        docker.check_image(client, IMAGE)
    except CourseError as error:
        return str(error)
    return ""


here_only = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())
KINDS = [
    pytest.param("bubblewrap", marks=here_only),
    pytest.param("docker", marks=pytest.mark.skipif(bool(why_no_docker()), reason=why_no_docker())),
]


class Prisoner:
    """The hostile solution in its sandbox."""

    def __init__(self, server: LearnersServer, workplace: Path) -> None:
        self.server = server
        self.workplace = workplace

    def attack(self, name: str, argument: Any = None) -> Any:
        """Run an attack; return its result."""
        url = f"{self.server.base_url}/attack/{name}"
        answer = httpx.post(url, json=argument, timeout=60, trust_env=False)
        return answer.raise_for_status().json()


def imprison(
    kind: str, workplace: Path, limits: Limits, reach: Sequence[int] = ()
) -> Iterator[Prisoner]:
    """Start the hostile solution; its own copy of itself is `hostile.py`."""
    directory = workplace / "theirs"
    directory.mkdir(parents=True)
    shutil.copy(HOSTILE, directory)
    place = workplace / "place"
    place.mkdir()
    if kind == "docker":
        kept = Sandbox(docker.find_docker() or "", limits=limits, image=IMAGE)
        command = ["python3", "hostile.py", "{port}"]
    else:
        kept = Sandbox(find_bubblewrap(), limits=limits)
        command = [sys.executable, "hostile.py", "{port}"]
    data = place / "data"
    with kept.confined(command, directory, os.environ, place, data, reach) as confined:
        solution = Solution(confined.command, str(directory), confined.environment)
        server = LearnersServer(solution, place)
        server.start()
        yield Prisoner(server, workplace)
        server.end()


@pytest.fixture(scope="module", params=KINDS)
def prisoner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prisoner]:
    """One hostile solution for the attacks that it survives."""
    yield from imprison(request.param, tmp_path_factory.mktemp("prisoner"), SMALL)


@pytest.fixture(params=KINDS)
def condemned(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Prisoner]:
    """A hostile solution that an attack ends, or with little time."""
    yield from imprison(request.param, tmp_path, replace(SMALL, seconds=5))


class TestAttacks:
    """Each attack stops at its limit."""

    def test_a_solution_reads_no_passwords_tests_or_hints(self, prisoner: Prisoner) -> None:
        theirs = prisoner.workplace / "theirs" / "hostile.py"
        secrets = [
            *("/etc/shadow", str(HINTS), str(ROOT / "tests"), str(ROOT / "stages.toml")),
            *(str(prisoner.workplace / "place" / name) for name in ("sandbox.json", "server.log")),
        ]
        assert prisoner.attack("read", [*secrets, str(theirs)]) == [str(theirs)]

    def test_a_solution_writes_only_its_copy_and_its_data(self, prisoner: Prisoner) -> None:
        theirs, place = prisoner.workplace / "theirs", prisoner.workplace / "place"
        ours = [place / "report.json", place / "server.log", HINTS]
        new = [
            f"{directory}/course-{os.getpid()}"
            for directory in ("/usr", "/etc", "/dev", "", "/proc")
        ]
        prisoner.attack("write", [str(path) for path in ours[:1]])  # in memory: allowed
        assert not ours[0].exists()
        assert prisoner.attack("write", new) == []
        machine = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/usr/bin/env"]
        assert prisoner.attack("change", [*machine, *map(str, ours[1:])]) == []
        assert prisoner.attack("write", [str(theirs / "hostile.py")]) != []
        assert (theirs / "hostile.py").read_bytes() == HOSTILE.read_bytes()

    def test_a_solution_reaches_no_network_address(self, prisoner: Prisoner) -> None:
        name = f"course-{os.getpid()}"
        with (
            socket.create_server(("127.0.0.1", 0)) as ours,
            socket.socket(socket.AF_UNIX) as abstract,
        ):
            abstract.bind(f"\0{name}")
            abstract.listen()
            addresses = [["127.0.0.1", ours.getsockname()[1]], [name, 0]]
            assert prisoner.attack("connect", addresses) == []
        assert prisoner.attack("interfaces") == ["lo"]

    def test_a_solution_sees_no_process_and_no_variable_of_ours(self, prisoner: Prisoner) -> None:
        assert len(prisoner.attack("processes")) <= 3
        assert set(prisoner.attack("environment")) <= {
            *("PATH", "HOME", "LANG", "PORT", "PWD", "LC_CTYPE", "HOSTNAME"),
            *("GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"),  # of Docker's image of Python
            *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"),
        }

    def test_a_fork_bomb_gets_as_many_processes_as_the_limit(self, prisoner: Prisoner) -> None:
        assert 1 <= prisoner.attack("fork", 500) <= SMALL.processes

    def test_a_solution_gets_no_more_memory_than_the_limit(self, prisoner: Prisoner) -> None:
        with sandbox.control_groups(SMALL) as groups:
            if groups.note:
                pytest.skip(groups.note)
        assert prisoner.attack("memory", 10 * 1024) * MIB <= SMALL.memory

    def test_a_solution_gets_no_more_open_files_than_the_limit(self, prisoner: Prisoner) -> None:
        assert prisoner.attack("open_files", 5000) < SMALL.open_files
        for place in ("/tmp", "/dev/shm"):  # noqa: S108 - its own
            request = {"directory": place, "files": 8, "mebibytes": 4}
            assert prisoner.attack("fill", request) * MIB <= SMALL.memory_files
        large = {"directory": ".", "files": 1, "mebibytes": 12}
        assert prisoner.attack("fill", large) * MIB <= SMALL.file

    def test_a_solution_makes_no_namespace(self, prisoner: Prisoner) -> None:
        assert prisoner.attack("user_namespace") is False

    def test_a_full_disk_ends_the_solution(self, condemned: Prisoner) -> None:
        with suppress(httpx.HTTPError):  # it may be ended in the middle of it
            condemned.attack("fill", {"directory": ".", "files": 12, "mebibytes": 6})
        eventually(lambda: condemned.server.exit_code is not None, within=30)
        assert "it wrote more than 32 MiB" in condemned.server.log_text()

    def test_the_time_limit_ends_the_solution(self, condemned: Prisoner) -> None:
        eventually(lambda: condemned.server.exit_code is not None, within=30)
        assert "The sandbox ended the server: it ran for 5 s." in condemned.server.log_text()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_solution_reaches_the_allowed_port(self, kind: str, tmp_path: Path) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as ours,
            socket.create_server(("127.0.0.1", 0)) as other,
        ):
            ports = [one.getsockname()[1] for one in (ours, other)]
            for prisoner in imprison(kind, tmp_path, SMALL, ports[:1]):
                reached = prisoner.attack("connect", [["127.0.0.1", port] for port in ports])
                assert reached == [["127.0.0.1", ports[0]]]
                ours.settimeout(5)
                ours.accept()[0].close()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_solution_gets_a_signal_before_it_is_killed(self, kind: str, tmp_path: Path) -> None:
        for prisoner in imprison(kind, tmp_path, SMALL):
            assert prisoner.server.stop(signal.SIGTERM) == 128 + signal.SIGTERM

    @here_only
    def test_no_process_of_a_solution_is_left(self, tmp_path: Path) -> None:
        marker, groups = str(tmp_path / "place"), _groups()
        for prisoner in imprison("bubblewrap", tmp_path, SMALL):
            assert marker in _command_lines()
            prisoner.server.kill()
            eventually(lambda: marker not in _command_lines(), within=10)
        assert _groups() == groups

    @pytest.mark.parametrize("kind", KINDS[1:])
    def test_no_container_of_a_solution_is_left(self, kind: str, tmp_path: Path) -> None:
        listed = ["docker", "ps", "--all", "--quiet"]
        before = subprocess.run(listed, capture_output=True, check=True).stdout
        for prisoner in imprison(kind, tmp_path, SMALL):
            prisoner.server.kill()  # its container is left, for a moment
            prisoner.server.start()  # it ends that first
            assert prisoner.attack("interfaces") == ["lo"]
        assert subprocess.run(listed, capture_output=True, check=True).stdout == before


def _groups() -> set[Path]:
    """Return the control groups of this process's sandboxes: other tests run beside it."""
    ours = f"grade-{os.getpid()}-*"
    return {*sandbox.CGROUPS.glob(ours), *sandbox.CGROUPS.glob(f"*/{ours}")}


def _command_lines() -> str:
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


@here_only
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_good_solution_earns_its_rows_beside_a_hostile_one(tmp_path: Path) -> None:
    """A roster of three learners, one of them hostile: each gets the right grade."""
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    shutil.copy(HOSTILE, hostile)
    attacks = {"read": ["/etc/shadow", str(HINTS)], "write": [str(tmp_path / "matrix.csv")]}
    (hostile / "attacks.json").write_text(json.dumps(attacks | {"fork": 500}), encoding="utf-8")
    good = f"{stage_python(STAGE)} -m uvicorn app.main:app --port {{port}}"
    with (tmp_path / "roster.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "cmd", "cwd"])
        writer.writerow(
            ["Mallory", f"{sys.executable} hostile.py {{port}} attacks.json", "hostile"]
        )
        writer.writerow(["Ada", good, str(ROOT / STAGE.directory)])
        writer.writerow(["Linus", "no-such-server {port}", "hostile"])
    report = grade(tmp_path, "--stage=1", "--roster", "roster.csv", "--csv=matrix.csv", "--sandbox")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(report.file("matrix.csv")))}
    assert (rows["Ada"]["earned"], rows["Ada"]["total"]) == ("7", "7"), report.printed
    assert rows["Mallory"]["earned"] == "0"
    assert rows["Linus"]["earned"] == "0"
    assert "no-such-server" in rows["Linus"]["problem"]


@here_only
def test_the_report_shows_what_the_server_said_in_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit('no module named flask')")
    result, _ = judge_here(
        *("--stage=1", f"--cwd={tmp_path}", "--sandbox"),
        f"--cmd={sys.executable} server.py {{port}}",
    )
    assert result.exit_code == 2
    assert "no module named flask" in result.problem


def test_without_bubblewrap_and_docker_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = grade_here(tmp_path, "--stage=1", "--sandbox", "--cmd=x {port}")
    assert report.exit_code == 2
    assert report.errors.startswith("--sandbox needs bubblewrap")
    assert len(report.errors.splitlines()) == 1
    monkeypatch.setattr(docker, "find_docker", lambda: "/usr/bin/docker")
    report = grade_here(tmp_path, "--stage=1", "--sandbox", "--cmd=x {port}")
    assert report.errors.startswith("--sandbox needs an image")
    assert len(report.errors.splitlines()) == 1


def test_docker_gets_every_limit_and_no_network(tmp_path: Path) -> None:
    limits = replace(
        LIMITS, memory=7, processes=8, open_files=9, file=10, cpu_seconds=11, memory_files=12
    )
    plan = docker.plan(
        "docker", "image", "name", Path("/s"), {Path("/copy"): Path("/s")}, tmp_path, limits
    )
    words, bridge = plan["solution"], plan["bridge"]
    assert isinstance(words, list)
    assert isinstance(bridge, list)
    told = dict(itertools.pairwise(words))
    assert told["--network"] == "none"
    assert (told["--memory"], told["--memory-swap"], told["--pids-limit"]) == ("7", "7", "8")
    ulimits = {words[i + 1] for i, word in enumerate(words) if word == "--ulimit"}
    assert ulimits == {"nofile=9", "fsize=10", "cpu=11", "core=0"}
    assert told["--tmpfs"] == "/tmp:rw,size=12"  # noqa: S108 - the container's own
    assert {"--read-only", "no-new-privileges", "ALL"} <= set(words)
    assert told["--user"].split(":")[0] != "0"
    assert told["--volume"] == "/copy:/s"
    assert dict(itertools.pairwise(bridge))["--network"] == "container:name"
    assert str(tmp_path) not in " ".join(words)


def arguments(directory: Path, *visible: Path, limits: Limits = LIMITS) -> list[str]:
    """Return the arguments of bubblewrap for a solution."""
    return sandbox.bubblewrap_arguments(
        directory, Path("/w/copy"), Path("/w/data"), visible, {"/etc/hosts": Path("/w/h")}, limits
    )


def pairs(words: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Return the two words after each use of an option."""
    return [(words[i + 1], words[i + 2]) for i, word in enumerate(words) if word == option]


def test_the_command_line_shows_the_solution_and_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    words = arguments(tmp_path, Path("/home/t/python"))
    assert "--unshare-all" in words
    assert "--share-net" not in words
    assert {"--disable-userns", "--die-with-parent"} <= set(words)
    assert pairs(words, "--bind") == [("/w/copy", str(tmp_path)), ("/w/data", "/w/data")]
    read_only = dict(pairs(words, "--ro-bind"))
    assert read_only["/home/t/python"] == "/home/t/python"
    assert read_only["/w/h"] == "/etc/hosts"
    assert read_only[str(tmp_path / ".venv")] == str(tmp_path / ".venv")
    assert not {"/", "/etc", "/home", "/root", "/var", str(ROOT)} & set(read_only)
    read_only_at_last = ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]
    assert words[-8:] == [*read_only_at_last, "--chdir", str(tmp_path)]


def test_a_course_inside_a_visible_directory_is_hidden() -> None:
    hidden = ["--tmpfs", str(ROOT)]
    words = arguments(Path("/s"), ROOT.parent)
    assert any(words[i : i + 2] == hidden for i in range(len(words)))


def test_every_limit_of_a_process_is_set() -> None:
    limits = replace(LIMITS, memory=1, processes=2, open_files=3, file=4, cpu_seconds=5)
    assert sandbox.prlimit_arguments(limits)[1:] == [
        *("--data=1", "--nproc=2", "--nofile=3", "--fsize=4", "--cpu=5", "--core=0", "--"),
    ]


def test_systemd_limits_all_processes_if_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/systemd-run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert sandbox.systemd_prefix(LIMITS) == ()
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "private").touch()
    prefix = sandbox.systemd_prefix(replace(LIMITS, memory=7, processes=8))
    assert prefix[:4] == ("systemd-run", "--user", "--scope", "--quiet")
    assert {"MemoryMax=7", "MemorySwapMax=0", "TasksMax=8"} <= set(prefix)
    assert prefix[-1] == "--"


def test_a_control_group_gets_the_limits_in_either_version(tmp_path: Path) -> None:
    limits = replace(LIMITS, memory=7, processes=8)
    first = dict(sandbox.group_settings(limits, tmp_path))
    assert first[tmp_path / "memory"] == {"memory.limit_in_bytes": 7}
    assert first[tmp_path / "pids"] == {"pids.max": 8}
    (tmp_path / "cgroup.controllers").touch()
    ((_, second),) = sandbox.group_settings(limits, tmp_path)
    assert second == {"memory.max": 7, "memory.swap.max": 0, "pids.max": 8}


def test_root_without_a_control_group_gets_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "systemd_prefix", lambda _: ())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with (
        pytest.raises(CourseError, match="run it as another user"),
        sandbox.control_groups(LIMITS, tmp_path / "none"),
    ):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with sandbox.control_groups(LIMITS, tmp_path / "none") as groups:
        assert groups.note.startswith("There is no control group: the limit of 1024 MiB holds")


def test_a_link_shows_no_file_of_ours(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "shadow").symlink_to("/etc/shadow")
    (theirs / ".venv").symlink_to(ROOT)
    sandbox.copy_solution(theirs, tmp_path / "copy")
    assert (tmp_path / "copy" / "shadow").is_symlink()
    assert str(theirs / ".venv") not in arguments(theirs)
    link = tmp_path / "link"
    link.symlink_to(theirs)
    with pytest.raises(CourseError, match="is a symbolic link"):
        sandbox.check_directory(link)


def test_a_directory_that_holds_the_course_is_refused() -> None:
    with pytest.raises(CourseError, match="holds the course"):
        sandbox.check_directory(ROOT.parent)
    sandbox.check_directory(ROOT / STAGE.directory)


def test_a_directory_entry_that_is_no_file_or_too_large_is_one_clear_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CourseError, match="cannot copy"):
        sandbox.copy_solution(tmp_path, tmp_path.with_name("copy"))
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(LIMITS.disk + 1)  # takes no room before it is copied
    with pytest.raises(CourseError, match="larger than a solution may be"):
        sandbox.check_size(tmp_path, LIMITS)


def test_files_that_a_solution_wrote_are_counted(tmp_path: Path) -> None:
    (tmp_path / "some").write_bytes(b"x" * 8192)
    assert confine.too_much([str(tmp_path)], 2**20, 10) == ""
    assert "0 MiB" in confine.too_much([str(tmp_path)], 4096, 10)
    assert "more than 1 files" in confine.too_much([str(tmp_path)], 2**20, 1)


def test_the_grader_starts_on_systems_without_namespaces() -> None:
    """Windows has no `fcntl`: without a sandbox nobody needs it."""
    program = "import sys; sys.modules['fcntl'] = None; import tools.grade.options"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_a_bubblewrap_that_does_not_work_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CourseError, match=r"does not work here \(bwrap: Unknown option") as caught:
        find_bubblewrap()
    assert len(str(caught.value).splitlines()) == 1


def test_an_answer_arrives_even_if_the_request_was_not_read() -> None:
    """A server may refuse a body and close, and the client still gets the answer."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"413")
        writer.close()

    async def ask() -> list[bytes]:
        server = await asyncio.start_server(refuse, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        listener = socket.create_server(("127.0.0.1", 0))
        relay = asyncio.create_task(confine._relay(listener, port))
        answers = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"x" * 2**22)
            answers.append(await reader.readexactly(3))
            writer.close()
        relay.cancel()
        server.close()
        return answers

    assert asyncio.run(ask()) == [b"413"] * 20
