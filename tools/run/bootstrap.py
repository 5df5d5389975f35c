"""Runs the noxfile by the nox of `.venv`, which it makes first: a bare Python is enough for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.run.arguments import nox_arguments


def bootstrap(noxfile: Path, words: list[str]) -> int:
    """Run the sessions of this noxfile that the words of the command line name.

    Returns the exit code of nox; on all systems but Windows nox replaces this process.
    """
    root = noxfile.parent
    python = root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # Written last. To ask nox each time whether it is there would take a third of a second.
    made = root / ".venv" / "made"
    if not (python.exists() and made.exists()):
        print("First run: making .venv with nox in it (about ten seconds) …", flush=True)
        _make_venv(python, root)
        made.touch()
    command = [str(python), "-m", "nox", "--noxfile", str(noxfile)]
    command += nox_arguments(words)
    if os.name != "nt":
        # Replaced rather than called: Ctrl-C and signals reach nox alone, and its exit is ours.
        os.execv(command[0], command)  # noqa: S606 - our own arguments, no shell
    return subprocess.call(command)


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _make_venv(python: Path, root: Path) -> None:
    base = [sys.executable, "-m"]
    venv = str(root / ".venv")
    if _answers([*base, "venv", "--clear", venv]):
        pip = [str(python), "-m", "pip"]
    # Debian keeps ensurepip in a package of its own; its pip refuses to install anything outside
    # a virtual environment (PEP 668) but installs into one that it is pointed at.
    elif _answers([*base, "pip", "--version"]) and _answers(
        [*base, "venv", "--clear", "--without-pip", venv]
    ):
        pip = [*base, "pip", "--python", str(python)]
    else:
        sys.exit(
            f"{sys.executable} can make no virtual environment with pip in it.\n"
            "On Debian or Ubuntu: sudo apt install python3-venv. Then run this again."
        )
    install = [*pip, "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", str(root / "constraints.txt")]
    if subprocess.call([*install, *constraints, "nox"]) != 0:
        sys.exit("Could not install nox (see above). Is the network there? Then run this again.")
    if not _answers([*install, *constraints, "uv"]):
        print("No uv for this machine: using virtualenv and pip, which take longer.", flush=True)
