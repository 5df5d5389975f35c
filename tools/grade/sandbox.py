"""`--sandbox`: isolates a stranger's solution from this machine, the grader and the tests.

It sees a copy of its own files, the system's programs (read-only), and a directory for its data.
Its network is only a loopback, into which `confine.py` forwards the grader's requests. Limits apply
to memory, processes, open files, disk and time.

bubblewrap does this on Linux: Debian and Ubuntu have the package `bubblewrap`. A control group,
made by root or by systemd, limits all processes together. Without one, each process has its own
memory limit, and a note says so. `docker.py` does the same in Docker with an image.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from course.catalog.stages import ROOT, CourseError
from tools.grade import docker
from tools.grade.confine import too_much
from tools.grade.limits import LIMITS, MIB, Limits

LEAST_MEMORY = 64  # MiB: a server does not start with less
CONFINE = Path(__file__).with_name("confine.py")
CGROUPS = Path("/sys/fs/cgroup")

# Read-only, if this system has them: programs, and files that nearly every program needs.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = (
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/localtime", "/etc/mime.types", "/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
)
# Mounted and not copied, since they are large and a solution only reads them.
_BESIDE = (".venv", "node_modules")
_LEFT_OUT = (".git", "__pycache__")

_MISSING = (
    "--sandbox needs bubblewrap (on Debian and Ubuntu: apt install bubblewrap) or Docker: install "
    "one of them"
)
_WITH_DOCKER = (
    "--sandbox needs an image, since this machine has Docker and no bubblewrap: give "
    "--sandbox-image IMAGE, with python3 and the packages that the solution imports"
)


@dataclass(frozen=True)
class Confined:
    """A solution that is ready to start in its sandbox; `command` contains `{port}`."""

    command: tuple[str, ...]
    environment: dict[str, str]
    note: str = ""


@dataclass(frozen=True)
class Sandbox:
    """The sandbox of strangers' solutions: additional readable directories, and the limits."""

    program: str  # bubblewrap, or Docker with an image
    readable: tuple[Path, ...] = ()
    limits: Limits = LIMITS
    image: str = ""

    @contextmanager
    def confined(
        self,
        command: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        workplace: Path,
        data: Path,
        reach: Sequence[int] = (),
    ) -> Iterator[Confined]:
        """Prepare a solution. It may write to `data` and connect to the ports of `reach`.

        Raises `CourseError` with one line if this solution cannot have a sandbox.
        """
        check_directory(directory)
        check_size(directory, self.limits)
        directory = directory.resolve()
        copy = workplace / "solution"
        copy_solution(directory, copy)
        data.mkdir(parents=True, exist_ok=True)
        common = {
            "reach": list(reach),
            "writable": [str(copy), str(data)],
            "seconds": self.limits.seconds,
            "disk": self.limits.disk,
            "files": self.limits.files,
        }
        file = workplace / "sandbox.json"
        outside = (sys.executable, "-I", str(CONFINE), str(file), "--port", "{port}", "--")
        if self.image:
            with self._in_docker(directory, {copy: directory, data: data}, workplace) as plan:
                file.write_text(json.dumps(common | plan), encoding="utf-8")
                yield Confined((*outside, *command), environment_inside({}, directory, []))
            return
        visible = [Path(sys.base_prefix), *programs_of(command, directory), *self.readable]
        with control_groups(self.limits) as groups:
            files = system_files(workplace)
            shown = bubblewrap_arguments(directory, copy, data, visible, files, self.limits)
            plan = {
                "bubblewrap": [self.program, *shown],
                "limits": prlimit_arguments(self.limits),
                "cgroups": [str(group) for group in groups.directories],
            }
            file.write_text(json.dumps(common | plan), encoding="utf-8")
            yield Confined(
                (*groups.prefix, *outside, *command),
                environment_inside(environment, directory, visible),
                groups.note,
            )

    @contextmanager
    def _in_docker(
        self, directory: Path, writable: Mapping[Path, Path], workplace: Path
    ) -> Iterator[dict[str, object]]:
        """Return the plan of a sandbox in Docker; everything is removed at the end."""
        name = f"grade-{os.getpid()}-{time.monotonic_ns()}"
        bridge = workplace / "bridge"
        bridge.mkdir()
        docker.give([*writable, bridge])
        with docker.removed(self.program, name):
            yield docker.plan(
                self.program, self.image, name, directory, writable, bridge, self.limits
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sandbox."""
    group = parser.add_argument_group("a stranger's solution")
    group.add_argument(
        "--sandbox",
        action="store_true",
        help="run --cmd without network, without your files, and with limits",
    )
    group.add_argument(
        "--sandbox-read", metavar="DIR", type=Path, action="append", default=[],
        help="a further directory that the solution may read, such as its language's (repeatable)",
    )  # fmt: skip
    group.add_argument(
        "--sandbox-image", metavar="IMAGE",
        help="use Docker and this image, with python3 and the packages of the solution",
    )  # fmt: skip
    group.add_argument(
        "--sandbox-memory", metavar="MIB", type=int, default=LIMITS.memory // MIB,
        help="of all its processes together (default: %(default)s)",
    )  # fmt: skip


def from_options(given: argparse.Namespace) -> Sandbox | None:
    """Return the sandbox that the options name; raise `CourseError` if it is impossible here."""
    if not given.sandbox:
        return None
    if given.base_url:
        raise CourseError("--sandbox starts the solution: use --cmd, not --base-url")
    if given.sandbox_memory < LEAST_MEMORY:
        raise CourseError(f"--sandbox-memory: at least {LEAST_MEMORY} MiB")
    limits = replace(LIMITS, memory=given.sandbox_memory * MIB)
    if given.sandbox_image:
        client = docker.find_docker()
        if client is None:
            raise CourseError("--sandbox-image needs Docker: install it, or start its engine")
        if given.sandbox_read:
            raise CourseError(
                "--sandbox-read does not work with Docker: put the files into the image"
            )
        docker.check_image(client, given.sandbox_image)
        return Sandbox(client, limits=limits, image=given.sandbox_image)
    readable = tuple(path.absolute() for path in given.sandbox_read)
    for path in readable:
        if not path.is_dir():
            raise CourseError(f"--sandbox-read: no such directory: {path}")
        if ROOT.is_relative_to(path.resolve()):
            raise CourseError(f"--sandbox-read: {path} holds the course, its tests and its hints")
    return Sandbox(find_bubblewrap(), readable, limits)


def find_bubblewrap() -> str:
    """Return the path of a bubblewrap that works here, or raise `CourseError`."""
    program = shutil.which("bwrap") if sys.platform == "linux" else None
    if program is None:
        raise CourseError(_WITH_DOCKER if docker.find_docker() else _MISSING)
    probe = [program, *_NAMESPACES, "--ro-bind", "/", "/", "--", "/bin/true"]
    tried = subprocess.run(probe, capture_output=True, text=True)
    if tried.returncode != 0:
        why = (tried.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CourseError(
            f"--sandbox: bubblewrap does not work here ({why}); --sandbox-image uses Docker"
        )
    return program


_NAMESPACES = ("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent")
# /proc/sys belongs to root, so no process of the sandbox can write there.
_READ_ONLY = tuple(word for place in ("/proc", "/dev", "/") for word in ("--remount-ro", place))


def bubblewrap_arguments(
    directory: Path,
    copy: Path,
    data: Path,
    visible: Sequence[Path],
    files: Mapping[str, Path],
    limits: Limits,
) -> list[str]:
    """Return the arguments of bubblewrap: the sandbox sees only the paths that they name."""
    small = str(limits.memory_files)
    words = [*_NAMESPACES, "--hostname", "sandbox", "--uid", "1000", "--gid", "1000"]
    for name in (*_SYSTEM, *_SYSTEM_FILES):
        path = Path(name)
        if path.is_symlink() and name in _SYSTEM:  # /bin is /usr/bin today
            words += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            words += ["--ro-bind", name, name]
    for name, file in files.items():
        words += ["--ro-bind", str(file), name]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for place in ("/dev/shm", "/tmp"):  # noqa: S108 - the sandbox's own
        words += ["--size", small, "--tmpfs", place]
    # After /tmp, since the next paths may be below it, also an interpreter.
    if any(ROOT.is_relative_to(path) for path in (*map(Path, _SYSTEM), *visible)):
        words += ["--tmpfs", str(ROOT)]
    for path in visible:
        if not path.is_relative_to("/usr"):
            words += ["--ro-bind", str(path), str(path)]
    words += ["--bind", str(copy), str(directory), "--bind", str(data), str(data)]
    for name in _BESIDE:
        if is_real_directory(directory / name):
            words += ["--ro-bind", str(directory / name), str(directory / name)]
    return [*words, *_READ_ONLY, "--chdir", str(directory)]


def prlimit_arguments(limits: Limits) -> list[str]:
    """Return the start of a command line that sets the limits of a process."""
    return [
        "/usr/bin/prlimit",
        f"--data={limits.memory}",
        f"--nproc={limits.processes}",
        f"--nofile={limits.open_files}",
        f"--fsize={limits.file}",
        f"--cpu={limits.cpu_seconds}",
        "--core=0",
        "--",
    ]


def environment_inside(
    environment: Mapping[str, str], directory: Path, visible: Sequence[Path]
) -> dict[str, str]:
    """Return the solution's environment; from the caller's it takes only the language."""
    seen = [Path("/usr"), Path("/bin"), Path("/sbin"), directory, *visible]
    parts = [part for part in environment.get("PATH", "").split(os.pathsep) if part]
    path = [part for part in parts if any(Path(part).is_relative_to(one) for one in seen)]
    return {
        "PATH": os.pathsep.join([*path, "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": "/tmp",  # noqa: S108 - the sandbox's own
        "LANG": environment.get("LANG", "C.UTF-8"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def programs_of(command: Sequence[str], directory: Path) -> list[Path]:
    """Return the directory of a command that was given as a full path; it must be readable."""
    program = Path(command[0])
    if not program.is_absolute() or program.is_relative_to(directory):
        return []
    if (program.parent.parent / "pyvenv.cfg").is_file():
        return [program.parent.parent]
    return [program] if program.is_file() else []


def check_directory(directory: Path) -> None:
    """Refuse a directory that would show the solution other files than its own."""
    # A stranger may replace their directory with a link.
    ways = directory.parents if not directory.is_absolute() else ()
    if any(way.is_symlink() for way in (directory, *ways)):
        raise CourseError(f"--sandbox: {directory} is a symbolic link: name its target")
    if ROOT.is_relative_to(directory.resolve()):
        raise CourseError(
            f"--sandbox: {directory} holds the course: move the solution to another directory"
        )


def check_size(directory: Path, limits: Limits) -> None:
    """Refuse a solution that is larger than its disk limit."""
    parts = [str(one) for one in directory.iterdir() if one.name not in (*_BESIDE, *_LEFT_OUT)]
    apparent = sum(_apparent_size(part) for part in parts)
    if apparent > limits.disk or too_much(parts, limits.disk, limits.files):
        raise CourseError(f"--sandbox: {directory} is larger than a solution may be")


def _apparent_size(path: str) -> int:
    """Return how many bytes a copy may take; a copy of a sparse file is not sparse."""
    total = os.lstat(path).st_size
    for place, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total


def is_real_directory(path: Path) -> bool:
    """Return whether it is a directory and not a link, since a link may point to our files."""
    return path.is_dir() and not path.is_symlink()


def copy_solution(directory: Path, copy: Path) -> None:
    """Copy it without following links; anything but a file, link or directory is an error."""

    def left_out(place: str, names: list[str]) -> set[str]:
        top = Path(place) == directory
        return {n for n in names if n in _LEFT_OUT or (top and n in _BESIDE)}

    try:
        shutil.copytree(directory, copy, symlinks=True, ignore=left_out)
    except (OSError, shutil.Error, RecursionError) as error:
        raise CourseError(f"--sandbox: cannot copy {directory}: {_first(error)}") from error
    for name in _BESIDE:  # a mount needs an existing place
        if is_real_directory(directory / name):
            (copy / name).mkdir()


def _first(error: Exception) -> str:
    if isinstance(error, shutil.Error):
        _, _, why = error.args[0][0]
        return str(why)
    return str(error)


def system_files(workplace: Path) -> dict[str, Path]:
    """Write the few files of /etc that programs need, without users of this machine."""
    texts = {
        "passwd": "learner:x:1000:1000:learner:/tmp:/bin/sh\n",
        "group": "learner:x:1000:\n",
        "hosts": "127.0.0.1 localhost sandbox\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    files = {}
    for name, text in texts.items():
        file = workplace / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="ascii")
        files[f"/etc/{name}"] = file
    return files


@dataclass(frozen=True)
class Groups:
    """The common limits of all processes of a sandbox."""

    directories: tuple[Path, ...] = ()  # ours: `confine.py` enters them
    prefix: tuple[str, ...] = ()  # systemd's: it starts the command in one
    note: str = ""


@contextmanager
def control_groups(limits: Limits, root: Path = CGROUPS) -> Iterator[Groups]:
    """Make control groups for the sandbox; kill the rest of its processes at the end."""
    made: list[Path] = []
    try:
        if prefix := systemd_prefix(limits):
            yield Groups(prefix=prefix)
            return
        for parent, settings in group_settings(limits, root):
            group = parent / f"grade-{os.getpid()}-{time.monotonic_ns()}"
            try:
                group.mkdir()
                made.append(group)
                for name, value in settings.items():
                    (group / name).write_text(str(value), encoding="ascii")
            except OSError:  # we have no permission to create it
                _remove(made)
                made.clear()
                break
        if not made and os.geteuid() == 0:
            raise CourseError(
                "--sandbox: root cannot make a control group here, and no other limit works for "
                "root: run it as another user"
            )
        note = "" if made else (
            f"There is no control group: the limit of {limits.memory // MIB} MiB holds for each "
            "process of the solution, not for all of them together."
        )  # fmt: skip
        yield Groups(tuple(made), note=note)
    finally:
        _remove(made)


def systemd_prefix(limits: Limits) -> tuple[str, ...]:
    """Return the start of a command line that runs the rest in a scope of systemd, if possible.

    systemd.resource-control(5) describes the properties.
    """
    user = os.geteuid() != 0
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    manager = Path(runtime, "systemd", "private") if user else Path("/run/systemd/private")
    if (user and not runtime) or not manager.exists() or not shutil.which("systemd-run"):
        return ()
    return (
        *("systemd-run", *(["--user"] if user else []), "--scope", "--quiet", "--collect"),
        *("-p", f"MemoryMax={limits.memory}", "-p", "MemorySwapMax=0"),
        *("-p", f"TasksMax={limits.processes}", "--"),
    )


def group_settings(limits: Limits, root: Path) -> list[tuple[Path, dict[str, int]]]:
    """Return the groups' directories and the text of their files, in version 2 or 1."""
    controllers = root / "cgroup.controllers"
    if controllers.exists():
        with suppress(OSError):
            (root / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
        most = {"memory.max": limits.memory, "memory.swap.max": 0, "pids.max": limits.processes}
        return [(root, most)]
    return [
        (root / "memory", {"memory.limit_in_bytes": limits.memory}),
        (root / "pids", {"pids.max": limits.processes}),
    ]


def _remove(groups: Sequence[Path]) -> None:
    """Kill every process of the groups and remove them; only an empty group can be removed."""
    for group in groups:
        for _ in range(100):
            with suppress(OSError, ValueError):
                for pid in (group / "cgroup.procs").read_text(encoding="ascii").split():
                    os.kill(int(pid), 9)
            with suppress(FileNotFoundError):
                try:
                    group.rmdir()
                except OSError:
                    time.sleep(0.05)
                    continue
            break
