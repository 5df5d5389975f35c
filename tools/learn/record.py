"""Records a session of stage 3, from nothing to the last row, as a learner goes through it.

    python -m tools.learn.record [FILE]

Each line of the record begins with its time in seconds. A `>` marks an action of the learner.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT, load_course
from tools.learn.player import Player, Writer

RECORD = ROOT / "docs" / "learn-stage03.txt"
NUMBER = 3
PLACE = "../my-stage3"  # the default place of `learn 3`
SECURITY, SERVICE, SCHEMAS, ROUTER = (
    f"app/auth/{name}.py" for name in ("security", "service", "schemas", "router")
)
# The error of the database reaches the client: a forgotten `UsernameTaken`.
MISTAKE = {"old": "raise UsernameTaken from None", "new": "raise"}


def play(directory: Path) -> list[tuple[float, str]]:
    """Play the session in a directory that does not exist; return its lines with their times."""
    with tempfile.TemporaryDirectory() as scratch, Player(["3", f"--in={directory}"]) as player:
        player.does("python3 noxfile.py learn 3")
        player.until(r"^  Write: app/auth/service\.py:\d+$")
        writer = Writer(load_course()[NUMBER - 1], directory, Path(scratch) / "fresh")

        def save(path: str, *names: str, old: str = "", new: str = "") -> None:
            mistake = f", with a mistake: {new} for {old}" if old else ""
            player.does(f"saves {path}: {', '.join(names) or 'all of it'}{mistake}")
            writer.write(path, *names, old=old, new=new)

        def wait(row: str, place: str) -> None:
            """Wait until a row waits for another one, and the last place of the next is shown."""
            player.until(rf"^{row} waits for ")
            player.until(rf"^  Write: {place}:\d+$")

        save(SCHEMAS)
        save(SECURITY, "PasswordHasher.hash", "PasswordHasher.verify")
        save(SERVICE, "find_highest_cost")
        wait("3.5", SERVICE)
        save(SERVICE, "AuthService.register", **MISTAKE)
        player.until(r"^✗ 3\.1 does not pass yet")
        player.until(r"^    app/auth/service\.py:\d+")
        player.type("hint")
        player.until(r"^hint 1/")
        save(SERVICE, "AuthService.register")
        wait("3.1", SECURITY)
        save(SECURITY, "create_access_token")
        wait("3.3", SERVICE)
        save(SERVICE, "AuthService.sign_in")
        wait("3.2", SECURITY)
        save(SECURITY, "read_access_token")
        wait("3.6", "app/todos/service.py")
        save("app/dependencies.py", "get_current_user")
        save("app/todos/models.py")
        save("app/todos/service.py")
        # The router of stage 2 does not know the owner yet, and the failure says so.
        player.until(r"^✗ 3\.4 does not pass yet")
        player.until(r"^    app/todos/router\.py:\d+")
        save(ROUTER, "read_me")
        save("app/todos/router.py")
        player.until(r"^All rows of stage 3 pass\.")
        return [(at, line.replace(str(directory), PLACE)) for at, line in player.lines]


def written(lines: Sequence[tuple[float, str]]) -> str:
    """Return the record as text."""
    head = "A session of `python3 noxfile.py learn 3`: seconds, then the lines. `>` is the learner."
    if hasattr(os, "getloadavg"):
        head += f" Load: {os.getloadavg()[1]:.1f}."
    return head + "\n\n" + "".join(f"{at:7.1f}  {line}".rstrip() + "\n" for at, line in lines)


def without_times(record: str) -> list[str]:
    """Return the lines of a record without times, and without the random parts of names."""
    lines = (re.sub(r"\d+\.\d s\b", "… s", line[9:]) for line in record.splitlines()[2:])
    return [re.sub(r"_[0-9a-f]{16}\b", "_…", line) for line in lines]


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Play the session and write its record; return 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.learn.record", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=root / RECORD.relative_to(ROOT))
    file = parser.parse_args(arguments).file
    with tempfile.TemporaryDirectory() as scratch:
        lines = play(Path(scratch).resolve() / "my-stage3")
    file.write_text(written(lines), encoding="utf-8")
    print(f"{len(lines)} lines, {lines[-1][0]:.0f} seconds: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
