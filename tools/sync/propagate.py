"""Carry an edit of one stage into every later stage by three-way merges.

    python -m tools.sync.propagate [STAGE]        from STAGE (default: the first) onwards
    python -m tools.sync.propagate --abort        put back the stage that is in conflict
    python -m tools.sync.propagate --adopt STAGE  a new stage was copied from the one before it

Edits need not be committed. A conflict stops it and leaves the usual markers in the file: resolve
them and run it again. A run that was killed can be repeated; the result is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT, CourseError, Stage, find_stage, load_course
from course.catalog.trees import (
    UNFINISHED,
    Files,
    place,
    read_tree,
    shown,
    tree_on_disk,
    trees_on_disk,
)
from tools.sync.drift import undeclared
from tools.sync.merge import (
    BINARY,
    BLOCKED,
    DELETED_HERE,
    DELETED_THERE,
    TEXT,
    Labels,
    has_markers,
    merge_trees,
)
from tools.sync.synced import (
    Pending,
    clear_pending,
    read_lock,
    read_pending,
    write_lock,
    write_pending,
)

WHAT_TO_DO = {
    TEXT: "both stages changed the same lines: edit the lines between the conflict markers",
    BINARY: "both stages changed it and it is not text: yours is in place, copy {there}'s over it"
    " if that is the right one",
    DELETED_THERE: "{there} deleted it, this stage has its own version: keep the file or delete it",
    DELETED_HERE: "this stage deleted it, {there} changed it: {there}'s is in place, keep it or"
    " delete it",
    BLOCKED: "cannot be written because one of your files is in the way (an ignored file, a file "
    "in the place of a directory, or the reverse): move it away",
}


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Return 0 when every stage is in sync, 1 when the user has to resolve a conflict."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.sync.propagate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", nargs="?", metavar="STAGE")
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--abort", action="store_true", help="restore the stage in conflict")
    does.add_argument(
        "--adopt", action="store_true", help="record STAGE as synced in its present state"
    )
    does.add_argument("--continue", action="store_true", help="same as no option")
    options = parser.parse_args(arguments)
    stages = load_course(root)
    if options.abort:
        return abort(root)
    if options.adopt:
        if options.stage is None:
            raise CourseError(
                "--adopt needs the stage: python3 noxfile.py propagate --adopt stage02"
            )
        return adopt(root, stages, find_stage(stages, options.stage))
    start = stages[0] if options.stage is None else find_stage(stages, options.stage)
    return propagate(root, stages, start)


def propagate(root: Path, stages: list[Stage], start: Stage) -> int:
    """Update every stage after `start`; return 1 at a conflict."""
    first = stages.index(start)
    pending = read_pending(root)
    if pending is not None:
        # The stage before it may have new edits, so the next merge takes these too.
        first = min(first, stages.index(find_stage(stages, pending.stage)) - 1)
        if pending.aborting:
            raise CourseError(
                "an abort was interrupted: run python3 noxfile.py propagate --abort again"
            )
        _remove_unfinished(root, pending.stage)
        if not _finish(root, stages, pending, tree_on_disk(root, pending.stage).files):
            return 1
    for previous, stage in pairwise(stages[first:]):
        if not _sync(root, stages, previous, stage):
            return 1
    rows = read_lock(root)
    if rows.keys() - {stage.directory for stage in stages[1:]}:
        write_lock(root, stages, rows)  # removes the rows of deleted stages
    _report_undeclared(root, stages, first)
    return 0


def adopt(root: Path, stages: list[Stage], stage: Stage) -> int:
    """Record that `stage` and the stage before it are in sync now; return 0."""
    if stage == stages[0]:
        raise CourseError(f"{stage.directory} is the first stage: name a later one")
    if read_pending(root) is not None:
        raise CourseError(
            "the last propagate is not finished: run python3 noxfile.py propagate, or add --abort"
        )
    _require_files(root, stage)
    previous = stages[stages.index(stage) - 1]
    _require_files(root, previous)
    tree = tree_on_disk(root, previous.directory).id
    write_lock(root, stages, read_lock(root) | {stage.directory: tree})
    print(f"{stage.directory}: recorded as synced from {previous.directory} as it is now")
    _report_undeclared(root, stages, stages.index(previous))
    return 0


def abort(root: Path) -> int:
    """Restore the stage in conflict to its state before the merge; return 0."""
    pending = read_pending(root)
    if pending is None:
        raise CourseError("nothing to abort: no propagate is in progress")
    _remove_unfinished(root, pending.stage)
    undone = tree_on_disk(root, pending.stage)
    if not pending.aborting:
        pending.aborting = True
        write_pending(root, pending)
    blocked = place(root, pending.stage, undone.files, read_tree(root, pending.ours))
    if blocked:
        names = ", ".join(map(shown, blocked))
        raise CourseError(f"{pending.stage}: move away what is in the way of {names}; abort again")
    clear_pending(root)
    print(
        f"{pending.stage} is as it was before the merge. The unfinished merge is kept:"
        f"\n  git archive {undone.id} | tar -x -C SOME_DIRECTORY"
    )
    return 0


def _sync(root: Path, stages: list[Stage], previous: Stage, stage: Stage) -> bool:
    rows = read_lock(root)
    if stage.directory not in rows:
        raise CourseError(
            f"stages.lock has no row for {stage.directory}: if it is a copy of "
            f"{previous.directory} as it is now, run"
            f" python3 noxfile.py propagate --adopt {stage.directory}"
        )
    _require_files(root, previous)
    _require_files(root, stage)
    trees = trees_on_disk(root, [stage.directory, previous.directory])
    ours, theirs = trees[stage.directory], trees[previous.directory]
    if theirs.id == rows[stage.directory]:
        print(f"{stage.directory}: nothing to do")
        return True
    base = read_tree(root, rows[stage.directory])
    labels = _labels(stage.directory, previous.directory)
    kept = frozenset(stage.removes + stage.rewrites)
    merge = merge_trees(root, base, ours.files, theirs.files, labels, kept)
    if not merge.done and not merge.conflicts:
        print(f"{stage.directory}: has {previous.directory}'s changes already")
    else:
        print(f"{stage.directory}: from {previous.directory}")
    for path, verb in merge.done.items():
        print(f"  {verb:7}  {shown(path)}")
    pending = Pending(
        stage.directory,
        theirs=theirs.id,
        ours=ours.id,
        before=ours.files,
        result=merge.files,
        conflicts=merge.conflicts,
    )
    return _finish(root, stages, pending, ours.files)


def _labels(stage: str, previous: str) -> Labels:
    return Labels(stage, f"{previous} (when last synced)", previous)


def _finish(root: Path, stages: list[Stage], pending: Pending, now: Files) -> bool:
    """Change the stage from `now` to the merge's result; return False on a conflict.

    `now` may be an edit of `before` or of `result`, so this is another three-way merge.
    """
    stage = find_stage(stages, pending.stage)
    there = stages[stages.index(stage) - 1].directory
    merge = merge_trees(root, pending.before, now, pending.result, _labels(pending.stage, there))
    if pending.told:
        # The files on disk are the user's answer once they have no markers.
        pending.conflicts = {
            path: kind
            for path, kind in pending.conflicts.items()
            if kind == TEXT and path in now and _is_unresolved(root / pending.stage / path)
        }
    pending.conflicts |= merge.conflicts
    pending.before, pending.result = now, merge.files
    write_pending(root, pending)

    blocked = place(root, pending.stage, now, merge.files)
    pending.before = {path: e for path, e in merge.files.items() if path not in blocked}
    pending.conflicts |= dict.fromkeys(blocked, BLOCKED)
    if pending.conflicts:
        _tell(pending, there)
        pending.told = True
        write_pending(root, pending)
        return False
    rows = read_lock(root) | {pending.stage: pending.theirs}
    write_lock(root, stages, rows)
    clear_pending(root)
    if pending.told:
        print(f"{pending.stage}: resolved")
    return True


def _is_unresolved(path: Path) -> bool:
    return has_markers(path.read_bytes())


def _tell(pending: Pending, there: str) -> None:
    print(f"{pending.stage} has conflicts:")
    for path, kind in sorted(pending.conflicts.items()):
        print(f"  {pending.stage}/{shown(path)}: {WHAT_TO_DO[kind].format(there=there)}")
    print(
        "Then run `python3 noxfile.py propagate` again: it takes the files on disk as your answer "
        f"and continues.\nOr run `python3 noxfile.py propagate --abort` to restore {pending.stage}."
    )


def _require_files(root: Path, stage: Stage) -> None:
    if not (root / stage.directory).is_dir():
        raise CourseError(f"{stage.directory} is in stages.toml, but not on disk")


def _remove_unfinished(root: Path, directory: str) -> None:
    # A killed run may have left this file, which is not part of the stage.
    (root / directory / UNFINISHED).unlink(missing_ok=True)


def _report_undeclared(root: Path, stages: list[Stage], first: int) -> None:
    trees = trees_on_disk(root, [stage.directory for stage in stages])
    for number, stage in list(enumerate(stages))[first:]:
        previous = stages[number - 1] if number else None
        before = trees[previous.directory].files if previous else {}
        for problem in undeclared(stage, trees[stage.directory].files, previous, before):
            print(f"For stages.toml: {problem}")


if __name__ == "__main__":
    sys.exit(run(main))
