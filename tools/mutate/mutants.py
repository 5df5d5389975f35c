"""Do the tests notice a mistake? Each mutant is a stage with one typical mistake of a learner.

    python -m tools.mutate.mutants 1 2 3          the mutants of these stages (default: of all)
    python -m tools.mutate.mutants no-location    some mutants by their ids
    python -m tools.mutate.mutants 3 --exhaustive all tests of the stage, not only those of the row

A mutant must fail its row (then it is *killed*), and no other rows except those that it names.
Without `--exhaustive` the other rows are not tested. The results are added to
`docs/kill-matrix.json`, and `docs/kill-matrix.md` shows them. The exit status is 1 when a mutant
survives, fails another row or does not start.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from course.catalog.command import run
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import ROOT, CourseError, Stage, find_stage, load_course
from tools.mutate.workbench import Outcomes, SuiteBroke, run_tests, workbench

MUTANTS = Path(__file__).with_name("mutants.toml")
MATRIX = ROOT / "docs" / "kill-matrix.md"
IN_CONTAINERS = "tests/compose/"  # these take minutes and need Docker

# The first characters of the rows' ids.
PARTS = {str(number): f"Stage {number}" for number in range(1, 9)}
PARTS |= {"C": "Capstone", "D": "The repository"}

KILLED, SURVIVED, SPREAD, BROKEN = "killed", "survived", "fails other rows", "does not run"


@dataclass(frozen=True)
class Mutant:
    """A mistake: `old` in `file` of the stage becomes `new`, and `row` must fail."""

    id: str
    row: str
    stage: int
    file: str
    old: str
    new: str
    why: str
    imports: str = ""
    also: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def mutate(self, source: str) -> str:
        """Return the source with the mistake; raise `CourseError` if it does not fit."""
        found = source.count(self.old)
        if found != 1:
            raise CourseError(f"{self.id}: {self.file} has `old` {found} times, not once")
        mutated = self._imported(source).replace(self.old, self.new)
        if self.file.endswith(".py"):
            try:
                compile(mutated, self.file, "exec")
            except SyntaxError as error:
                raise CourseError(f"{self.id}: {error}") from error
        return mutated

    def _imported(self, source: str) -> str:
        if not self.imports:
            return source
        # After the module's own docstring, before everything else.
        start = source.index('"""', 3) + 3
        return f"{source[:start]}\n\n{self.imports}{source[start:]}"


@dataclass(frozen=True)
class Result:
    """The result of a mutant: the failed rows among the checked rows."""

    mutant: str
    row: str
    stage: int
    verdict: str
    failed: tuple[str, ...]
    looked_at: tuple[str, ...]
    seconds: int
    said: str = ""


def load_mutants(path: Path = MUTANTS) -> list[Mutant]:
    """Return the mutants; raise `CourseError` for a mistake in the file."""
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
        mutants = [Mutant(**_frozen(row)) for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CourseError(f"{path.name}: {error}") from error
    ids = [mutant.id for mutant in mutants]
    if len(set(ids)) < len(ids):
        raise CourseError(f"{path.name}: an id occurs twice")
    return mutants


def try_mutant(
    mutant: Mutant, stage: Stage, requirements: Sequence[Requirement], *, exhaustive: bool
) -> Result:
    """Run the tests of the mutant's row, or all of its stage, against the mutant."""
    started = time.monotonic()
    part = mutant.row.partition(".")[0]
    rows = [row for row in requirements if row.id.partition(".")[0] == part]
    (own,) = (row for row in rows if row.id == mutant.row)
    tests = [test for test in own.tests if not test.startswith(IN_CONTAINERS)]
    if exhaustive:
        tests += [f"tests/{stage.name}"]
    looked_at = rows if exhaustive else [own]
    failed: tuple[str, ...] = ()
    said = ""
    with workbench(stage) as root:
        file = root / stage.directory / mutant.file
        file.write_text(mutant.mutate(file.read_text(encoding="utf-8")), encoding="utf-8")
        try:
            outcomes = run_tests(
                root, stage, [*mutant.options, *tests], stop_at_first=not exhaustive
            )
            if suspects := _tests_of_other_rows(mutant, outcomes, looked_at):
                # As in a session of a stage, a test that fails once and passes alone has passed.
                outcomes = outcomes.corrected_by(
                    run_tests(root, stage, [*mutant.options, *suspects])
                )
            failed = _failed(outcomes, looked_at)
            verdict = judge(mutant, failed)
            said = "\n".join(_tests_of_other_rows(mutant, outcomes, looked_at))
        except SuiteBroke as error:
            verdict, said = BROKEN, str(error)
    seconds = round(time.monotonic() - started)
    ids = tuple(row.id for row in looked_at)
    return Result(mutant.id, mutant.row, mutant.stage, verdict, failed, ids, seconds, said)


def _failed(outcomes: Outcomes, rows: Sequence[Requirement]) -> tuple[str, ...]:
    return tuple(row for row, passed in outcomes.rows(rows).items() if not passed)


def _tests_of_other_rows(
    mutant: Mutant, outcomes: Outcomes, rows: Sequence[Requirement]
) -> list[str]:
    """Return the failed tests of unrelated rows."""
    others = [row for row in rows if row.id not in (mutant.row, *mutant.also)]
    return sorted(outcomes.failed.intersection(test for row in others for test in row.tests))


def judge(mutant: Mutant, failed: Iterable[str]) -> str:
    """Return the verdict for these failed rows."""
    if mutant.row not in failed:
        return SURVIVED
    if set(failed) - {mutant.row, *mutant.also}:
        return SPREAD
    return KILLED


def judged_again(mutant: Mutant, result: Result) -> Result:
    """Return the result with the verdict of the mutant's present `row` and `also`."""
    if result.verdict == BROKEN:
        return result
    return replace(result, verdict=judge(mutant, result.failed))


def chosen(
    mutants: Sequence[Mutant], stages: Sequence[Stage], wanted: Sequence[str]
) -> list[Mutant]:
    """Return the mutants of these stages or ids; raise `CourseError` for an unknown word."""
    ids = {mutant.id for mutant in mutants}
    numbers = {find_stage(list(stages), name).number for name in wanted if name not in ids}
    return [
        mutant for mutant in mutants if not wanted or mutant.stage in numbers or mutant.id in wanted
    ]


def page(mutants: Sequence[Mutant], results: Mapping[str, Result]) -> str:
    """Return the kill matrix in Markdown, with a table for each stage."""
    tried = [results[mutant.id] for mutant in mutants if mutant.id in results]
    killed = sum(result.verdict == KILLED for result in tried)
    lines = [
        "# Which mistakes the tests notice",
        "",
        "Each row is a mutant: a copy of a finished stage with one typical mistake of a learner"
        " (`tools/mutate/mutants.toml`). It has to fail its own requirement, and no other except "
        "those that depend on the same code. `python3 noxfile.py mutants` wrote this"
        " page.",
        "",
        "D.1, D.3 and D.5 to D.9 have no mutant, since they concern the tools of this repository "
        "and not an app. For the capstone, the tests that need Docker are left out.",
        "",
        f"Of {len(mutants)} mutants {len(tried)} were run and {killed} killed.",
        "",
        "✗ fails, as it must · (✗) also fails, as declared · **✗** fails, but must not ·"
        " · passes · blank: not tested",
    ]
    for part, title in PARTS.items():
        of_part = [mutant for mutant in mutants if mutant.row.startswith(f"{part}.")]
        if not of_part:
            continue
        rows = sorted({mutant.row for mutant in of_part}, key=lambda row: int(row[2:]))
        lines += ["", f"## {title}", ""]
        lines += [f"| mutant | made for | {' | '.join(rows)} | result |"]
        lines += [f"|---|---|{'---|' * len(rows)}---|"]
        for mutant in of_part:
            result = results.get(mutant.id)
            marks = [_mark(mutant, row, result) for row in rows]
            verdict = f"{result.verdict}, {result.seconds} s" if result else "not run"
            lines.append(f"| {mutant.id} | {mutant.row} | {' | '.join(marks)} | {verdict} |")
    return "\n".join(lines) + "\n"


def _mark(mutant: Mutant, row: str, result: Result | None) -> str:
    if result is None or row not in result.looked_at:
        return ""
    if row not in result.failed:
        return "·"
    if row == mutant.row:
        return "✗"
    return "(✗)" if row in mutant.also else "**✗**"


def read_results(path: Path) -> dict[str, Result]:
    """Return the results of earlier runs by mutant."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {name: Result(**_frozen(row)) for name, row in kept.items()}


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run the mutants one after the other, and write the results after each."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate.mutants", description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="STAGE|ID")
    parser.add_argument("--exhaustive", action="store_true", help="all tests of the stage")
    options = parser.parse_args(arguments)
    stages, mutants, requirements = load_course(root), load_mutants(), load_requirements()
    data = MATRIX.with_suffix(".json")
    MATRIX.parent.mkdir(exist_ok=True)
    current = {mutant.id: mutant for mutant in mutants}
    bad = 0
    for mutant in chosen(mutants, stages, options.wanted):
        stage = stages[mutant.stage - 1]
        result = try_mutant(mutant, stage, requirements, exhaustive=options.exhaustive)
        # Read again each time, since another process may run mutants at the same time.
        results = {
            name: judged_again(current[name], kept)
            for name, kept in read_results(data).items()
            if name in current
        }
        results[mutant.id] = result
        bad += result.verdict != KILLED
        failed = ", ".join(result.failed) or "none"
        print(f"{mutant.row} {mutant.id}: {result.verdict} (failed: {failed}), {result.seconds} s")
        if result.said:
            print(result.said)
        sys.stdout.flush()
        kept = {name: asdict(results[name]) for name in sorted(results)}
        data.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        MATRIX.write_text(page(mutants, results), encoding="utf-8")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(run(main))
