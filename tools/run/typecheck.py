"""Check the types of the tools, the tests and every stage with `mypy --strict`, in parallel.

    python -m tools.run.typecheck                 everything
    python -m tools.run.typecheck 3 4             these stages only
    python -m tools.run.typecheck tools           the tools, the tests and the benchmarks only

All stages are checked against the packages of the last one, which has the packages of all others.
So mypy reads each package once and keeps it in one cache. A missing requirement of a stage shows in
its tests, which run in the stage's own environment.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course.catalog.command import run
from course.catalog.environment import stage_python
from course.catalog.stages import ROOT, Stage, find_stage, load_course

TOOLS = "tools"
CODE = ["noxfile.py", "conftest.py", "course", "tools", "tests", "benchmarks"]
# The first run in the capstone's environment. The others are solutions of learners, kept as they
# were.
ELSEWHERE = (
    r"(benchmarks/(floor_.*|unobserved)|tests/capstone/cache_schedules)\.py$"
    r"|tools/tests/grade/solutions/"
)


def main(wanted: Sequence[str], root: Path = ROOT) -> int:
    """Return 0 when all types are right, 1 when some are not."""
    stages = load_course(root)
    chosen = [find_stage(stages, word) for word in wanted if word != TOOLS]
    with ThreadPoolExecutor(2) as pool:
        checks = []
        if not wanted or TOOLS in wanted:
            checks.append(pool.submit(_check_tools, root))
        if not wanted or chosen:
            # Two mypy processes must not share a cache, so these run one after the other.
            checks.append(pool.submit(_check_stages, root, chosen or stages, stages[-1]))
        return max(check.result() for check in checks)


def _check_tools(root: Path) -> int:
    return _mypy("tools, tests and benchmarks", root, [f"--exclude={ELSEWHERE}", *CODE])


def _check_stages(root: Path, stages: Iterable[Stage], last: Stage) -> int:
    options = [
        "--config-file=../pyproject.toml",
        f"--cache-dir={root / '.mypy_cache' / 'stages'}",
        f"--python-executable={stage_python(last)}",
    ]
    codes = [_mypy(stage.directory, root / stage.directory, [*options, "."]) for stage in stages]
    return max(codes)


def _mypy(what: str, directory: Path, arguments: Sequence[str]) -> int:
    """Run mypy in a directory and print its output; return its exit code."""
    print(f"{what}: checking …", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f"{what}: {done.stdout.strip()}", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(run(main))
