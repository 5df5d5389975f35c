"""Check that stages differ exactly where `stages.toml` says so, also for chapters of a stage.

    python -m tools.sync.drift

Each problem is one line that says what to do, and the exit status is then 1. Files on disk count,
committed or not, except files that git ignores.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from course.catalog import chapters
from course.catalog.command import run
from course.catalog.requirements import ROWS, read_rows
from course.catalog.stages import ROOT, Stage, load_course
from course.catalog.trees import Entry, Files, Tree, listed, shown, trees_on_disk
from tools.sync.merge import has_markers
from tools.sync.synced import read_lock, read_pending

STAGE_DIRECTORY = re.compile(r"stage[0-9][0-9]_.+|capstone_.+")
# The address of a package registry must not get into the course. The brackets keep the patterns
# from matching their own line.
REGISTRY = re.compile(
    rb"python[h]osted|pypi[.]org/simple|registry[.]npm[j]s|deb[.]debian", re.IGNORECASE
)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Print every problem and return 1, or print what was compared and return 0."""
    argparse.ArgumentParser(prog="python -m tools.sync.drift", description=__doc__).parse_args(
        arguments
    )
    stages = load_course(root)
    problems = find_problems(root, stages)
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem{'s' * (len(problems) > 1)} found", file=sys.stderr)
        return 1
    files = sum(len(listed(root, stage.directory)) for stage in stages)
    declared = sum(len(s.adds + s.changes + s.rewrites + s.removes) for s in stages)
    print(f"No drift: {len(stages)} stages, {files} files, {declared} declared differences.")
    return 0


def find_problems(root: Path, stages: list[Stage]) -> list[str]:
    """Return a line for each difference between the stages and `stages.toml`."""
    paths = listed(root)
    present = {path.split("/")[0] for path in paths if "/" in path}
    trees = trees_on_disk(root, [s.directory for s in stages if s.directory in present])

    problems = _directories(stages, present)
    previous: Stage | None = None
    for stage in stages:
        problems += _listed_twice(stage)
        if stage.chapters:
            problems += chapters.file_problems(stage)
            problems += chapters.row_problems(stage, read_rows(root / ROWS.relative_to(ROOT)))
        if stage.directory in trees and (previous is None or previous.directory in trees):
            before = {} if previous is None else trees[previous.directory].files
            problems += undeclared(stage, trees[stage.directory].files, previous, before)
        previous = stage
    problems += _lock(root, stages, trees)
    for path in paths:
        problems += _text(root, path)
    return problems


def _directories(stages: list[Stage], present: set[str]) -> list[str]:
    known = [stage.directory for stage in stages]
    problems = [
        f"stages.toml lists {name}, but the directory has no files: copy the stage before it (cp "
        "-r) or remove its row"
        for name in known
        if name not in present
    ]
    problems += [
        f"{name}/ is not in stages.toml: add a [[stage]] row for it or delete the directory"
        for name in sorted(present)
        if STAGE_DIRECTORY.fullmatch(name) and name not in known
    ]
    problems += [
        f"stages.toml has {name} in two rows: remove one"
        for name in sorted({name for name in known if known.count(name) > 1})
    ]
    return problems


def _listed_twice(stage: Stage) -> list[str]:
    rows = [*stage.adds, *stage.changes, *stage.rewrites, *stage.removes]
    return [
        f"stages.toml lists {shown(path)} twice for {stage.directory}: remove one"
        for path in sorted({path for path in rows if rows.count(path) > 1})
    ]


def undeclared(stage: Stage, files: Files, previous: Stage | None, before: Files) -> list[str]:
    """Return a line for each undeclared difference and for each declaration without a difference.

    For the first stage `previous` is `None` and `before` is empty: it adds all its files.
    """
    here = stage.directory
    there = "the stage before it (there is none)" if previous is None else previous.directory
    problems = []
    for path in sorted(before.keys() | files.keys()):
        was, now = before.get(path), files.get(path)
        name = f"{here}/{shown(path)}"
        if now is None and path not in stage.removes:
            problems.append(
                f"{name} is missing, {there} has it: copy it from there, or list it under removes"
            )
        elif was is None and path not in stage.adds:
            problems.append(
                f"{name} is new in this stage and stages.toml does not list it under adds: list it,"
                f" or delete the file"
            )
        elif was and now and was != now and path not in stage.changes + stage.rewrites:
            problems.append(_differs(name, there, was, now))
    problems += [
        f"stages.toml lists {shown(path)} under {row} of {here}, but {why}: {what}"
        for row, paths in (
            ("adds", stage.adds),
            ("changes", stage.changes),
            ("rewrites", stage.rewrites),
        )
        for path in paths
        if (reason := _not_so(row, there, before.get(path), files.get(path)))
        for why, what in (reason,)
    ]
    for path in stage.removes:
        if path not in before:
            problems.append(
                f"stages.toml lists {shown(path)} under removes of {here}, but {there} has no such"
                f" file: remove the row"
            )
        elif path in files:
            problems.append(
                f"stages.toml lists {shown(path)} under removes of {here}, but it is there: delete"
                f" the file or remove the row"
            )
    return problems


def _differs(name: str, there: str, was: Entry, now: Entry) -> str:
    how = f"differs from {there}'s"
    if was.blob == now.blob:
        how = f"has mode {now.mode}, {there}'s has {was.mode},"
    return (
        f"{name} {how} but stages.toml does not list it under changes: fix it in the stage where"
        f" it first appears and run python3 noxfile.py propagate {there}, or list it"
    )


def _not_so(row: str, there: str, was: Entry | None, now: Entry | None) -> tuple[str, str] | None:
    if now is None:
        return "the file does not exist", "make the file or remove the row"
    if row == "adds" and was is not None:
        if was == now:
            return f"{there} has the same file", "remove the row"
        return f"{there} has it too", "list it under changes instead"
    if row != "adds" and was is None:
        return f"{there} has no such file", "list it under adds instead"
    if row != "adds" and was == now:
        return f"it is identical to {there}'s", "remove the row or make the change"
    return None


def _lock(root: Path, stages: list[Stage], trees: dict[str, Tree]) -> list[str]:
    rows = read_lock(root)
    problems = []
    pending = read_pending(root)
    if pending is not None:
        problems.append(
            f"the propagate into {pending.stage} is not finished: resolve the conflicts that it "
            "named and run"
            f" python3 noxfile.py propagate, or python3 noxfile.py propagate --abort"
        )
    for previous, stage in pairwise(stages):
        if stage.directory not in rows:
            problems.append(
                f"stages.lock has no row for {stage.directory}: if it is a copy of"
                f" {previous.directory} as it is now, run"
                f" python3 noxfile.py propagate --adopt {stage.directory}"
            )
        elif previous.directory in trees and rows[stage.directory] != trees[previous.directory].id:
            problems.append(
                f"stages.lock: {previous.directory} has changed since {stage.directory} was last"
                f" synced from it: run python3 noxfile.py propagate {previous.directory}"
            )
    later = {stage.directory for stage in stages[1:]}
    problems += [
        f"stages.lock has a row for {shown(name)}, which follows no stage:"
        " run python3 noxfile.py propagate, which drops it"
        for name in sorted(rows.keys() - later)
    ]
    return problems


def _text(root: Path, path: str) -> list[str]:
    if path.endswith("/") or (root / path).is_symlink():
        return []
    data = (root / path).read_bytes()
    problems = []
    if STAGE_DIRECTORY.fullmatch(path.split("/")[0]) and has_markers(data):
        problems.append(f"{shown(path)} holds conflict markers: resolve them and save the file")
    if match := REGISTRY.search(data):
        line = data.count(b"\n", 0, match.start()) + 1
        problems.append(
            f"{shown(path)}:{line} names the package registry {match[0].decode()}: remove the"
            f" address (names and versions are enough)"
        )
    return problems


if __name__ == "__main__":
    sys.exit(run(main))
