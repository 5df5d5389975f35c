"""A lesson read as data: its sections and blocks, and the shell and server that run them."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Protocol

import pytest

from course.catalog.environment import ENVIRONMENTS, stage_python
from course.catalog.stages import ROOT, Stage
from course.catalog.trees import listed
from course.harness.ports import free_port
from course.harness.server import LaunchedServer

# -P keeps Python from searching the script's directory for modules: it has a queue.py of its own.
UVICORN = ["-P", str(Path(__file__).with_name("quick_reload.py"))]
COMMAND_DEADLINE = 180.0
RELOAD_DEADLINE = 20.0
# The lesson of stage 3 shows what a hash costs. In later lessons the cost only slows down each
# start, sign-up and sign-in.
STAGE_OF_HASHES = 3
QUICK_HASHES = {"BCRYPT_ROUNDS": "4"}
MISSED_EDIT = 3.0  # uvicorn misses an edit in the first quarter of a second after a start
# The last line of uvicorn's start, successful or not.
RESTARTED = re.compile(r"Application startup (complete|failed)")

needs_a_terminal = pytest.mark.skipif(
    sys.platform == "win32" or not all(map(shutil.which, ("bash", "curl", "git"))),
    reason="not checked: needs bash, curl and git",
)

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the language after the fence, its text, and its first line."""

    language: str
    text: str
    line: int


def read(path: Path) -> str:
    """Return a page's text."""
    return path.read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    return [
        Block(match[1], match[2], page.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(page)
    ]


def prose_of(page: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page)


def sections_of(page: str) -> dict[str, str]:
    """Return the text below each `## ` heading, by heading in order."""
    # A comment in a shell block must not look like a heading.
    parts = _HEADING.split(_FENCE.sub(lambda match: match[0].replace("\n#", "\n #"), page))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def matches(expected: str, got: str) -> bool:
    """Return whether output is as expected; `…` is any text, and a line of `…` any lines."""
    pattern = "".join(
        "(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in _lines(expected)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(got))) is not None


def _lines(text: str) -> list[str]:
    """Return the lines without trailing spaces, and without empty lines at both ends."""
    return [line.rstrip() for line in text.strip().splitlines()]


def edits_of(diff: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, old text and new text of each edit.

    The diff has no line numbers: `--- path` begins a file, and `@@` another place in it.
    """
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        path, _, hunks = part.partition("\n")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE):
            lines = hunk.splitlines(keepends=True)
            yield (
                path,
                "".join(line[1:] or "\n" for line in lines if not line.startswith("+")),
                "".join(line[1:] or "\n" for line in lines if not line.startswith("-")),
            )


def make_edits(diff: str, directory: Path) -> None:
    """Make the edits of a diff; raise `AssertionError` if one does not fit its file."""
    for path, before, after in edits_of(diff):
        file = directory / path
        text = read(file)
        assert text.count(before) == 1, f"must occur once in {path}:\n{before}"
        file.write_text(text.replace(before, after), encoding="utf-8")


def changed_files(directory: Path) -> str:
    """Return the output of `git status`."""
    status = ["git", "status", "--porcelain"]
    done = subprocess.run(status, cwd=directory, capture_output=True, check=True)
    return done.stdout.decode()


class Place(Protocol):
    """The place where a learner does what a page says."""

    def run(self, script: str) -> tuple[str, int]:
        """Run commands; return their output and the last one's exit status."""

    def edit(self, diff: str) -> None:
        """Make the edit that a page shows."""

    def changed_files(self) -> str:
        """Return the changed files: empty when every edit was undone."""

    def log_tail(self) -> str:
        """Return the end of the server's log."""


def follow(page: Path, place: Place, addresses: Mapping[str, str] = MappingProxyType({})) -> None:
    """Do what a page says; raise `AssertionError` if a command does not do what the page says.

    `addresses` has the local URLs of services by the URLs in the page.
    """
    blocks = blocks_of(read(page))
    try:
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            if block.language == "diff":
                place.edit(block.text)
            if block.language == "sh":
                script = block.text
                for in_the_page, here in addresses.items():
                    script = script.replace(in_the_page, here)
                output, status = place.run(script)
                for in_the_page, here in addresses.items():
                    output = output.replace(here, in_the_page)
                where = f"{page.relative_to(ROOT)}:{block.line}\n{block.text}\n"
                if following and following.language == "output":
                    as_expected = matches(following.text, output)
                    assert as_expected, (
                        f"{where}--- expected output\n{following.text}--- actual output\n{output}"
                    )
                else:
                    assert status == 0, f"{where}--- exit status {status}, output\n{output}"
        # Otherwise the reader's next exercise would start with changed files.
        assert place.changed_files() == "", "the page must revert all of its edits"
    except AssertionError as error:
        error.add_note(f"--- the end of the server's log\n{place.log_tail()}")
        raise


class Workplace:
    """A learner's workplace: a clone with the stage, its server, and a second terminal.

    The ports 8000 and 8001 of the lesson's addresses are replaced by free ones.
    """

    def __init__(self, stage: Stage, directory: Path) -> None:
        clone = clone_course(directory, stage.directory, ".gitignore")
        self.stage_directory = clone / stage.directory
        command = [str(stage_python(stage)), *UVICORN, "app.main:app", "--port", "{port}"]
        command += ["--reload", "--reload-dir", "app"]  # as `serve` does
        settings = QUICK_HASHES if stage.number > STAGE_OF_HASHES else {}
        self.server = LaunchedServer(
            command, directory, settings, working_directory=self.stage_directory
        )
        self.server.start()
        ports = {"8000": self.server.base_url.rpartition(":")[2], "8001": str(free_port())}
        self._shell = Shell(self.stage_directory, shell_environment(directory) | settings, ports)

    def close(self) -> None:
        """End the shell, its processes, and the server."""
        self._shell.close()
        self.server.kill()

    def log_tail(self) -> str:
        """Return the end of the server's log."""
        return self.server.log_tail()

    def run(self, script: str) -> tuple[str, int]:
        """Run commands; return their output, stderr included, and the last one's exit status.

        Returns when the server runs the changed code.
        """
        with self._reloaded():
            return self._shell.run(script)

    def edit(self, diff: str) -> None:
        """Make the edit that a lesson shows; raise `AssertionError` if it does not fit the file."""
        with self._reloaded():
            make_edits(diff, self.stage_directory)

    def changed_files(self) -> str:
        """Return the output of `git status`: empty when every edit was undone."""
        return changed_files(self.stage_directory)

    def _reloaded(self) -> _Reloaded:
        return _Reloaded(self.server, self.stage_directory / "app")


class _Reloaded:
    """If a source file was changed meanwhile, wait at the end until the server has loaded it."""

    def __init__(self, server: LaunchedServer, app: Path) -> None:
        self._server = server
        self._app = app

    def __enter__(self) -> None:
        self._before = self._times()
        self._mark = self._server.log_mark()

    def __exit__(self, error: object, *_: object) -> None:
        if error is not None or self._times() == self._before:
            return
        deadline = time.monotonic() + RELOAD_DEADLINE
        again = time.monotonic() + MISSED_EDIT
        while not RESTARTED.search(log := self._server.log_since(self._mark)):
            assert time.monotonic() < deadline, f"no reload:\n{self._server.log_tail()}"
            # A second reload after a slow first one would end the next wait too early.
            if time.monotonic() > again and "Reloading" not in log:
                (self._app / "main.py").touch()
                again += MISSED_EDIT
            time.sleep(0.05)

    def _times(self) -> Mapping[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self._app.rglob("*.py")}


class Shell:
    """A bash that runs a lesson's blocks in order, like the learner's terminal."""

    def __init__(self, directory: Path, environment: Mapping[str, str], ports: Mapping[str, str]):
        self._ports = ports
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[str] = self._process.stdin
        self._lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        reader.start()
        self._script = Path(environment["HOME"]) / "block.sh"

    def run(self, script: str) -> tuple[str, int]:
        """Run a block; return its output and exit status; `AssertionError` if it takes too long."""
        for named, here in self._ports.items():
            script = re.sub(rf"(127\.0\.0\.1:|--port ){named}\b", rf"\g<1>{here}", script)
        self._script.write_text(script, encoding="utf-8")
        # Sourced, so that $! and an activated environment remain; the mark ends the output.
        self._input.write(f". '{self._script}' < /dev/null; printf '\\n:status %d\\n' $?\n")
        self._input.flush()
        output: list[str] = []
        deadline = time.monotonic() + COMMAND_DEADLINE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not done in time:\n{script}\n{''.join(output)}") from None
            if line.startswith(":status "):
                break
            output.append(line)
        text = "".join(output)
        for named, here in self._ports.items():
            text = text.replace(f"127.0.0.1:{here}", f"127.0.0.1:{named}")
        return text, int(line.split()[1])

    def close(self) -> None:
        """End the shell and every process that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put(":status 255")  # the shell is gone


def clone_course(directory: Path, *paths: str) -> Path:
    """Make a clone of the course in `directory`, or of these paths only; return its path.

    It holds the files on disk, committed as `main`, without files that a run has left. It shares
    the environments of this course.
    """
    clone = directory / "course"
    for path in (name for chosen in paths or ["."] for name in listed(ROOT, chosen)):
        copy = clone / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy)
    (clone / ".nox").mkdir()
    (clone / ".nox" / "apps").symlink_to(ENVIRONMENTS)
    # Else each clone would compile the tools and the standard library.
    for compiled in (ENVIRONMENTS, Path(sys.base_prefix)):
        place = Path("bytecode", *compiled.parts[1:])
        if (ROOT / ".nox" / place).is_dir():
            (clone / ".nox" / place).parent.mkdir(parents=True, exist_ok=True)
            (clone / ".nox" / place).symlink_to(ROOT / ".nox" / place)
    if not paths and (ROOT / ".venv" / "made").exists():
        # A directory, since git would not ignore a link.
        (clone / ".venv").mkdir()
        for part in (ROOT / ".venv").iterdir():
            (clone / ".venv" / part.name).symlink_to(part)
    author = ["-c", "user.name=Learner", "-c", "user.email=learner@localhost"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*author, "commit", "--quiet", "--message", "The course"],
    ):
        subprocess.run(["git", *command], cwd=clone, check=True, env=shell_environment(clone))
    return clone


def shell_environment(home: Path) -> dict[str, str]:
    """Return an environment without the settings, proxies and git options of the user."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def links_of(page: str) -> list[tuple[str, str]]:
    """Return path and anchor (each may be empty) of every link inside the repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    parted = [target.partition("#") for target in targets if not re.match(r"[a-z]+:", target)]
    return [(path, anchor) for path, _, anchor in parted]


def anchors_of(page: str) -> set[str]:
    """Return the anchors that GitHub makes of the page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
