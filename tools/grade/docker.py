"""The sandbox in Docker, for machines without bubblewrap: the arguments of its commands.

The solution runs without a network in an image that holds its packages. A second container of the
same image shares only its network: `confine.py` carries connections through it, by UNIX sockets in
a directory that the solution does not see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from course.catalog.stages import CourseError
from tools.grade.limits import MIB, Limits

NOBODY = 65534  # the user of a solution when root grades
PATIENCE = 60  # seconds for a command of Docker's
CONFINE = Path(__file__).with_name("confine.py")
# Variables that Docker's client needs; the solution does not get them.
CLIENT = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH")
_NO_RIGHTS = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")


def find_docker() -> str | None:
    """Return the client's path when its engine answers."""
    client = shutil.which("docker")
    if client is None:
        return None
    asked = subprocess.run([client, "info"], capture_output=True, timeout=PATIENCE)
    return client if asked.returncode == 0 else None


def check_image(client: str, image: str) -> None:
    """Refuse an image that is not on this machine, since the user decides about downloads."""
    asked = subprocess.run([client, "image", "inspect", image], capture_output=True)
    if asked.returncode != 0:
        raise CourseError(f"--sandbox-image: no such image: {image}: docker pull {image}")


def owner() -> tuple[int, int]:
    """Return the user of the solution: not root, but allowed to write its files."""
    return (NOBODY, NOBODY) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def give(paths: Sequence[Path]) -> None:
    """Make the solution the owner of these directories and their files."""
    if os.geteuid() == 0:
        for top in paths:
            for place, folders, files in os.walk(top):
                for name in (".", *folders, *files):
                    os.chown(Path(place, name), NOBODY, NOBODY, follow_symlinks=False)


def plan(
    client: str,
    image: str,
    name: str,
    directory: Path,
    writable: Mapping[Path, Path],
    bridge: Path,
    limits: Limits,
) -> dict[str, object]:
    """Return the command for `confine.py`; `writable` maps container paths to directories."""
    uid, gid = owner()
    common = [client, "run", "--rm", "--pull", "never", "--user", f"{uid}:{gid}", *_NO_RIGHTS]
    mounts = [
        word for source, place in writable.items() for word in ("--volume", f"{source}:{place}")
    ]
    solution = [
        *common,
        *("--name", name, "--label", f"course-grade={name}", "--network", "none", "--init"),
        *("--memory", str(limits.memory), "--memory-swap", str(limits.memory)),
        *("--pids-limit", str(limits.processes), "--shm-size", str(limits.memory_files)),
        *("--ulimit", f"nofile={limits.open_files}", "--ulimit", f"fsize={limits.file}"),
        *("--ulimit", f"cpu={limits.cpu_seconds}", "--ulimit", "core=0"),
        *("--tmpfs", f"/tmp:rw,size={limits.memory_files}", *mounts),  # noqa: S108
        *("--workdir", str(directory), "--hostname", "sandbox"),
    ]
    carrier = [
        *common,
        *("--name", f"{name}-bridge", "--label", f"course-grade={name}"),
        *("--network", f"container:{name}", "--memory", str(128 * MIB), "--pids-limit", "16"),
        *("--volume", f"{bridge}:/bridge", "--volume", f"{CONFINE}:/confine.py:ro"),
        *("--entrypoint", "python3", image, "-I", "/confine.py", "--bridge"),
    ]
    client_environment = {one: os.environ[one] for one in CLIENT if one in os.environ}
    return {
        "docker": client,
        "name": name,
        "image": image,
        "solution": solution,
        "bridge": carrier,
        "sockets": str(bridge),
        "client": client_environment,
    }


@contextmanager
def removed(client: str, name: str) -> Iterator[None]:
    """Remove containers of this name at the end."""
    try:
        yield
    finally:
        subprocess.run([client, "rm", "-f", name, f"{name}-bridge"], capture_output=True)
