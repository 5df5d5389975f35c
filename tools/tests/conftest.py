"""A course of four tiny stages in its own git repository, new for each test."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.catalog.command import run
from course.catalog.stages import ROOT, Stage, load_course
from tools.sync import diff, drift, propagate

ONE, TWO, THREE, FOUR = (
    "stage01_list",
    "stage02_store",
    "stage03_users",
    "capstone_all",
)
# Ten lines, so that edits can be far enough from each other.
MAIN = "".join(f"line {number}\n" for number in range(1, 11))

# Only these settings; a repository for a second need not be flushed to disk.
OF_THROWAWAY_REPOSITORIES = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.fsync",
    "GIT_CONFIG_VALUE_0": "none",
    "GIT_CONFIG_KEY_1": "gc.auto",
    "GIT_CONFIG_VALUE_1": "0",
}

STAGES_TOML = f"""
[[stage]]
number = 1
directory = "{ONE}"
title = "A list"
level = "novice"
goal = "Keep a list."
minutes = 30
adds = ["README.md", "app/main.py", "app/todos/router.py", "requirements.txt"]

[[stage]]
number = 2
directory = "{TWO}"
title = "A store"
level = "beginner"
goal = "Keep it for good."
minutes = 60
adds = ["app/todos/models.py"]
changes = ["README.md", "requirements.txt"]

[[stage]]
number = 3
directory = "{THREE}"
title = "Users"
level = "beginner"
goal = "Keep them apart."
minutes = 45
adds = ["app/auth/router.py"]
changes = ["README.md", "app/main.py"]

[[stage]]
number = 4
directory = "{FOUR}"
title = "All of it"
level = "advanced"
goal = "Run it."
minutes = 90
adds = ["Dockerfile"]
"""


@dataclass
class Result:
    """The output and the exit status of a tool."""

    status: int
    out: str
    err: str


class Course:
    """The repository, its files, and methods that run the tools on it."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capture = capture

    @property
    def stages(self) -> list[Stage]:
        return load_course(self.root)

    def write(self, path: str, text: str | bytes, *, executable: bool = False) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        target.chmod(0o755 if executable else 0o644)

    def read(self, path: str) -> str:
        return (self.root / path).read_bytes().decode()

    def replace(self, path: str, old: str, new: str) -> None:
        text = self.read(path)
        assert old in text, f"{path} has no {old!r}"
        (self.root / path).write_bytes(text.replace(old, new).encode())

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def executable(self, path: str) -> bool:
        return bool((self.root / path).stat().st_mode & stat.S_IXUSR)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, check=True)
        return done.stdout.decode("utf-8", "surrogateescape")

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a step")

    def everything(self) -> dict[str, tuple[bytes, bool]]:
        """Every file outside `.git`, ignored ones too, with its content and executable bit."""
        return {
            str(path.relative_to(self.root)): (
                path.read_bytes(),
                self.executable(str(path.relative_to(self.root))),
            )
            for path in self.root.rglob("*")
            if path.is_file() and ".git" not in path.relative_to(self.root).parts
        }

    def drift(self) -> Result:
        return self._run(drift.main)

    def propagate(self, *arguments: str) -> Result:
        return self._run(propagate.main, *arguments)

    def diff(self, *arguments: str) -> Result:
        return self._run(diff.main, *arguments)

    def command(self, tool: str, *arguments: str) -> list[str]:
        """A command that runs a tool on this course in a separate process."""
        program = (
            "import sys; from pathlib import Path; from course.catalog.command import run;"
            f"from tools.sync.{tool} import main;"
            "sys.exit(run(main, sys.argv[2:], Path(sys.argv[1])))"
        )
        return [sys.executable, "-c", program, str(self.root), *arguments]

    def _run(self, main: Callable[[Sequence[str], Path], int], *arguments: str) -> Result:
        self._capture.readouterr()
        status = run(main, arguments, self.root)
        printed = self._capture.readouterr()
        return Result(status, printed.out, printed.err)


@pytest.fixture(autouse=True)
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git sees no settings and no repository of the user."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    for name, value in OF_THROWAWAY_REPOSITORIES.items():
        monkeypatch.setenv(name, value)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A Tester")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "tester@example.org")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course at the start of every test, made once and copied."""
    root = tmp_path_factory.mktemp("pristine") / "course"
    files = {
        "stages.toml": STAGES_TOML,
        ".gitignore": "*.db\n.env\n__pycache__/\n",
        "notes.md": "For the team.\n",
        f"{ONE}/README.md": "# A list\n\nOne.\n",
        f"{ONE}/requirements.txt": "fastapi~=0.1\n",
        f"{ONE}/app/main.py": MAIN,
        f"{ONE}/app/todos/router.py": "routes = []\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    shutil.copytree(root / ONE, root / TWO)
    (root / TWO / "README.md").write_text("# A store\n\nTwo.\n")
    (root / TWO / "requirements.txt").write_text("fastapi~=0.1\nsqlalchemy~=2.1\n")
    (root / TWO / "app/todos/models.py").write_text("class Todo: ...\n")
    shutil.copytree(root / TWO, root / THREE)
    (root / THREE / "README.md").write_text("# Users\n\nThree.\n")
    (root / THREE / "app/main.py").write_text(MAIN.replace("line 9\n", "line 9 with users\n"))
    (root / THREE / "app/auth").mkdir()
    (root / THREE / "app/auth/router.py").write_text("users = []\n")
    shutil.copytree(root / THREE, root / FOUR)
    (root / FOUR / "Dockerfile").write_text("FROM scratch\n")
    return root


@pytest.fixture(scope="session")
def made(pristine: Path) -> Path:
    """The same course, committed and adopted."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    clean |= OF_THROWAWAY_REPOSITORIES
    who = ["-c", "user.name=A Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(
        ["git", "init", "--quiet", "--initial-branch=main", "--template="],
        cwd=pristine, env=clean, check=True,
    )  # fmt: skip
    stages = load_course(pristine)
    for stage in stages[1:]:
        propagate.adopt(pristine, stages, stage)
    # Packed, since every test copies the repository.
    commit = [*who, "commit", "--quiet", "--message", "a course"]
    for step in (["add", "--all"], commit, ["gc", "--quiet"]):
        subprocess.run(["git", *step], cwd=pristine, env=clean, check=True)
    return pristine


@pytest.fixture
def course(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Course:
    """A course in sync and committed."""
    shutil.copytree(made, tmp_path / "course", symlinks=True)
    return Course(tmp_path / "course", capsys)
