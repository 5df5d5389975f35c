"""Runs the noxfile with the nox of `.venv`, and makes `.venv` first where it is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.run.arguments import nox_arguments


def bootstrap(noxfile: Path, words: list[str]) -> int:
    """Run the sessions of this noxfile that the words of the command line name.

    Returns the exit code of nox. On all systems but Windows nox replaces this process instead.
    """
    root = noxfile.parent
    python = root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # This file is written last. Starting nox to see whether it works takes a third of a second.
    made = root / ".venv" / "made"
    if not (python.exists() and made.exists()):
        print("First run: making .venv with nox in it (about ten seconds) …", flush=True)
        _make_venv(python, root)
        made.touch()
    command = [str(python), "-m", "nox", "--noxfile", str(noxfile)]
    command += nox_arguments(["-l"] if words[:1] == ["help"] else words)
    if os.name != "nt":
        # nox replaces this process, so Ctrl-C and signals reach it, and its exit code is ours.
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
    # Debian has a separate package for ensurepip. Its pip refuses to install outside a virtual
    # environment (PEP 668), but `--python` lets it install into one.
    elif _answers([*base, "pip", "--version"]) and _answers(
        [*base, "venv", "--clear", "--without-pip", venv]
    ):
        pip = [*base, "pip", "--python", str(python)]
    else:
        sys.exit(
            f"{sys.executable} cannot make a virtual environment with pip.\n"
            "On Debian or Ubuntu: sudo apt install python3-venv. Then run the command again."
        )
    install = [*pip, "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", str(root / "constraints.txt")]
    if subprocess.call([*install, *constraints, "nox"]) != 0:
        sys.exit(
            "Could not install nox (see above). Check the network, then run the command again."
        )
    if not _answers([*install, *constraints, "uv"]):
        print(
            "uv does not exist for this machine: virtualenv and pip are used and take longer.",
            flush=True,
        )
