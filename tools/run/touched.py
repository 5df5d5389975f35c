"""Finds the stages that a change touches, and the tests that have to run.

    python -m tools.run.touched [--since REF]    the sessions of these stages and of all after them
    python -m tools.run.touched --all            the sessions of all stages

A change is what differs from `main` (on `main`: from `origin/main`, or else from the last commit),
uncommitted and untracked files included. A stage is *changed* when one of its files, or of its
suite, differs and was not copied from the stage before. It is *synced* when all differences were
copied.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT, CourseError, Stage, load_course
from course.catalog.trees import git
from tools.run.suites import HARNESS


@dataclass(frozen=True)
class Touched:
    """The stages that a change touches, in course order, and the other places."""

    changed: tuple[Stage, ...]
    synced: tuple[Stage, ...]
    harness: bool  # an input of the tests of every stage
    tools: bool  # code outside of the stages

    def with_later(self, stages: Sequence[Stage]) -> list[Stage]:
        """Return the stages to test before a merge: the first touched stage and all after it."""
        if self.harness:
            return list(stages)
        touched = [*self.changed, *self.synced]
        first = min((stage.number for stage in touched), default=len(stages) + 1)
        return list(stages[first - 1 :])


def changed_paths(root: Path, since: str | None = None) -> list[str]:
    """Return the paths that differ from `since`, relative to the root, in order."""
    base = since or _base(root)
    differing = git(root, "diff", "--name-only", "-z", "--no-renames", base, "--")
    untracked = git(root, "ls-files", "-o", "--exclude-standard", "-z")
    return sorted({os.fsdecode(name) for name in (differing + untracked).split(b"\0") if name})


def touched(stages: Sequence[Stage], paths: Iterable[str]) -> Touched:
    """Return the stages to which these paths belong."""
    differing = set(paths)
    changed, synced = [], []
    for before, stage in zip([None, *stages], stages, strict=False):
        own = {
            path.removeprefix(f"{stage.directory}/")
            for path in differing
            if path.startswith(f"{stage.directory}/")
        }
        carried = {
            path for path in own if before is not None and f"{before.directory}/{path}" in differing
        }
        suite_differs = any(path.startswith(f"tests/{stage.name}/") for path in differing)
        if own - carried or suite_differs:
            changed.append(stage)
        elif own:
            synced.append(stage)
    directories = tuple(f"{stage.directory}/" for stage in stages)
    return Touched(
        tuple(changed),
        tuple(synced),
        harness=any(path == name or path.startswith(f"{name}/") for path in differing
                    for name in HARNESS),
        tools=any(
            path.endswith(".py") and not path.startswith(directories) for path in differing
        ),
    )  # fmt: skip


def _base(root: Path) -> str:
    """Return the commit that a change is compared with."""
    for branch in ("main", "origin/main"):
        try:
            base = git(root, "merge-base", "HEAD", branch).decode().strip()
        except CourseError:
            continue  # there is no such branch
        head = git(root, "rev-parse", "HEAD").decode().strip()
        if base != head:
            return base
    return "HEAD"


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print the names of the sessions to run as a JSON list, for CI's matrix."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.run.touched",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--since", metavar="REF", help="compare with this commit")
    parser.add_argument("--all", action="store_true", help="every stage, also untouched ones")
    options = parser.parse_args(arguments)
    stages = chosen = load_course(root)
    if not options.all:
        chosen = touched(stages, changed_paths(root, options.since)).with_later(stages)
    print(json.dumps([stage.name for stage in chosen]))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
