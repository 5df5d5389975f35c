"""Measures the loop: the time from a save to its result, and the median for each stage.

    python -m tools.learn.measure 3        ten saves of stage 3
    python -m tools.learn.measure          ten saves of each stage with a starter

The saves go round all rows of a stage. In each of them the finished stage has one mistake, so its
row stays the current one: a mutant that the quick tests of the row notice. A save that nobody
notices ends the loop, and is not counted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, Stage, find_stage, load_course
from course.catalog.trees import listed
from tools.learn.parts import rows_in_order
from tools.learn.player import NotSaid, Player
from tools.learn.starter import COMMANDS, LAST_STAGE
from tools.learn.state import State, write_state
from tools.mutate.mutants import Mutant, load_mutants

SAVES = 10
LONGEST = 60.0  # seconds: a save without a result in this time is not counted


def measure(stage: Stage, saves: int = SAVES) -> list[float]:
    """Return the seconds from a save to its result, for so many saves."""
    rows = rows_in_order(stage)
    mutants = [one for one in load_mutants() if one.stage == stage.number]
    # A mistake that breaks an earlier row too would make that row the current one.
    mutants.sort(key=lambda mutant: len(mutant.also))
    found: list[float] = []
    each = -(-saves // len(rows))  # rounded up
    for row in rows:
        for mutant in [one for one in mutants if one.row == row]:
            seconds = _measure(stage, row, mutant, min(each, saves - len(found)))
            found += seconds
            if seconds:
                break  # another mutant of this row is not needed
        if len(found) >= saves:
            break
    return found


def _measure(stage: Stage, row: str, mutant: Mutant, saves: int) -> list[float]:
    """Return the times of some saves of one mistake; none if the tests do not notice it."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch).resolve() / "mine"
        for path in listed(ROOT, stage.directory):
            copy = directory / Path(path).relative_to(stage.directory)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, copy)
        environment = stage_python(stage).parents[1]
        (directory / ".venv").symlink_to(environment, target_is_directory=True)
        file = directory / mutant.file
        text = mutant.mutate(file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
        passed = [one for one in rows_in_order(stage) if one != row]
        write_state(directory, State(stage.number, COMMANDS["python"], passed=passed))
        result = rf"^✗ {row} does not pass yet"
        with Player([str(stage.number), f"--in={directory}"]) as player:
            try:
                player.until(r"^[✗✓] |^All rows", LONGEST)  # it starts everything
                if not re.search(result, player.lines[-1][1]):
                    return []
                seconds = []
                for number in range(saves):
                    began = player.now
                    file.write_text(f"{text}\n# save {number}\n", encoding="utf-8")
                    seconds.append(player.until(result, LONGEST) - began)
            except NotSaid:
                return []
        return seconds


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the median of each stage; return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.learn.measure",
        description="Measure the time from a save to its result in `learn`.",
    )
    parser.add_argument("stages", nargs="*", help="such as 3; without one, all with a starter")
    wanted = parser.parse_args(arguments).stages
    stages = load_course(root)
    chosen = [find_stage(stages, word) for word in wanted] or stages[:LAST_STAGE]
    for stage in chosen:
        began = time.monotonic()
        seconds = measure(stage)
        load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        median = f"median {statistics.median(seconds):.1f} s" if seconds else "nothing measured"
        print(
            f"stage {stage.number}: {median}, {len(seconds)} saves"
            f" ({', '.join(f'{one:.1f}' for one in seconds)}){load},"
            f" {time.monotonic() - began:.0f} s in all",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
