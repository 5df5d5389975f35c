"""How the tests of a stage run: the suites, the lanes, and the meaning of a failure.

A run has two lanes: first all tests on several workers, then, one at a time, those that measure
time or memory (marked `alone`). Tests that failed run once more, one at a time. A test that passes
then is *flaky*: the end of the run lists it, and `.nox/flaky.json` keeps it. A full run fails on
it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from course.catalog.stages import ROOT, Stage

FLAKY = ROOT / ".nox" / "flaky.json"
KEPT = 200  # flaky tests in that file
PASSED, FAILED, NOTHING_TO_RUN = 0, 1, 5  # exit codes of pytest
# Twice as many workers as processors: many tests wait for a server.
WORKERS = int(os.environ.get("TEST_WORKERS") or min(8, 2 * (os.cpu_count() or 2)))

# Inputs of the tests of every stage, besides the stages and their suites.
HARNESS = (
    "conftest.py",
    "constraints.txt",
    "course/__init__.py",
    "course/catalog",
    "course/harness",
    "noxfile.py",
    "pyproject.toml",
    "stages.toml",
    "tests/__init__.py",
    "tests/requirements.txt",
    "tools/__init__.py",
    "tools/run/__init__.py",
    "tools/run/arguments.py",
    "tools/run/suites.py",
)

_RUNS_ALONE = re.compile(r"\bmark\.alone\b")

RunPytest = Callable[[Sequence[str]], int]
"""Runs pytest with these arguments and returns its exit code."""


@dataclass(frozen=True)
class StageRun:
    """The runs of pytest that test one stage; each is a list of arguments."""

    runs: tuple[tuple[str, ...], ...]
    suites: tuple[str, ...]  # those of all stages so far, the stage's own last
    directories: tuple[str, ...]  # of all stages so far

    @property
    def paths(self) -> list[str]:
        """The inputs of the runs: this stage, earlier stages, their suites, and the harness."""
        return [*HARNESS, *self.directories, *self.suites]


def stage_run(stages: Sequence[Stage], stage: Stage, inherited: str) -> StageRun:
    """Return the runs of a stage: its whole suite, and earlier suites as `inherited` says.

    `full` also repeats the further runs of all earlier stages (`also` in `stages.toml`). With
    `quick`, a stage that runs all earlier suites in a further run does not run them twice.
    """
    so_far = stages[: stage.number]
    suites = tuple(f"tests/{earlier.name}" for earlier in so_far)
    further = [
        also.split() for earlier in (so_far if inherited == "full" else [stage])
        for also in earlier.also
    ]  # fmt: skip
    repeated = inherited == "quick" and any(set(suites) <= set(words) for words in further)
    first = suites[-1:] if repeated else suites
    options = (f"--stage={stage.number}", f"--inherited={inherited}")
    runs = [(*options, *first), *((*options, *words) for words in further)]
    return StageRun(tuple(runs), suites, tuple(earlier.directory for earlier in so_far))


@dataclass
class Outcome:
    """The result of a session: node ids of tests that failed twice (`failed`) or once (`flaky`)."""

    exit_code: int = PASSED
    failed: list[str] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)


def run_lanes(
    run_pytest: RunPytest,
    arguments: Sequence[str],
    cache: Path,
    *,
    alone_in: Iterable[str],
    workers: int = WORKERS,
    share_files: bool = False,
) -> Outcome:
    """Run pytest: first in parallel, then the tests marked `alone`, then those that failed.

    `alone_in` names the suites that may have tests marked `alone`; of them run the files that
    `arguments` select. `cache` is a directory for pytest's list of failures; another run must not
    use it at the same time. With `share_files`
    several workers may run tests of one file, so its tests must not share a server.
    """
    last_failed = cache / "v" / "cache" / "lastfailed"
    last_failed.unlink(missing_ok=True)
    base = ["-o", f"cache_dir={cache}", *arguments]
    codes = [run_pytest([*base, "-m", "not alone", *parallel(workers, share_files=share_files)])]
    failed = _node_ids(last_failed)
    selected = [Path(word) for word in arguments if not word.startswith("-")]
    files = [
        file
        for suite in alone_in
        for file in _with_tests_that_run_alone(suite)
        if any(Path(file).is_relative_to(path) for path in selected)
    ]
    if files:
        # Only these files, since collecting the others would take longer than some tests.
        options = [word for word in base if Path(word) not in selected]
        codes.append(run_pytest([*options, "-m", "alone", *files]))
        failed |= _node_ids(last_failed)
    bad = [code for code in codes if code not in (PASSED, NOTHING_TO_RUN)]
    # Other names are files or workers whose tests could not be collected.
    broke_off = set(bad) != {FAILED} or not failed or not all("::" in test for test in failed)
    if not bad or broke_off:
        return Outcome(max(bad, default=PASSED), sorted(failed))
    print(f"\n{len(failed)} failed. Running only those again, one at a time …", flush=True)
    # Only names, since the traceback is above.
    again = ["--last-failed", "--last-failed-no-failures=none", "--tb=no", "-q"]
    code = run_pytest([*base, *again])
    failed_again = _node_ids(last_failed)
    return Outcome(code, sorted(failed_again), sorted(failed - failed_again))


def parallel(workers: int, *, share_files: bool = False) -> list[str]:
    """Return the options that run tests on several workers.

    Each file goes to one worker. With `share_files` each test goes to one worker, and the tests of
    a class stay together (`course/harness/scheduling.py`).
    """
    if workers < 2:
        return []
    dist = "loadgroup" if share_files else "loadfile"
    return ["-n", str(workers), f"--dist={dist}", "--no-loadscope-reorder"]


def keep_flaky(session: str, tests: Iterable[str], file: Path = FLAKY) -> None:
    """Add the tests to `.nox/flaky.json`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows = [{"test": test, "session": session, "seen_at": now} for test in tests]
    if not rows:
        return
    try:
        earlier = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = []
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = json.dumps([*rows, *earlier][:KEPT], indent=1, ensure_ascii=False)
    file.write_text(kept + "\n", encoding="utf-8")


def _node_ids(last_failed: Path) -> set[str]:
    try:
        return set(json.loads(last_failed.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return set()


def _with_tests_that_run_alone(suite: str) -> list[str]:
    """Return the files of this suite whose source has the mark `alone`."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / suite).rglob("test_*.py"))
        if _RUNS_ALONE.search(path.read_text(encoding="utf-8"))
    ]
