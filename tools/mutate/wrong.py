"""Does a grade notice a wrong server? Each variant is the Node server with one mistake in it.

    python -m tools.mutate.wrong                  every variant
    python -m tools.mutate.wrong 3 8.4            the variants of stage 3, and those of row 8.4
    python -m tools.mutate.wrong no-stale         some variants by their ids
    python -m tools.mutate.wrong --missed         those that their own row did not catch last time

The quick look of a grade runs against each, with `--cmd`: first the tests of its row and, if they
do not catch it, all other tests of the quick look at its stage. The results are added to
`docs/wrong-servers.json`; `docs/wrong-servers.md` shows them. The exit status is 1 when nothing
catches a variant, or it does not start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from course.catalog.command import run
from course.catalog.requirements import Requirement, load_requirements
from course.catalog.stages import ROOT, CourseError, find_stage, load_course
from course.harness.learners import NEEDS_CMD
from tools.grade.learner import NotReached, Running, launched
from tools.grade.outcomes import Outcome
from tools.grade.results import due, judge
from tools.grade.suite import Target, run_suite

SERVER = ROOT / "tools" / "tests" / "grade" / "solutions" / "node"
LISTS = Path(__file__).with_name("wrong")
PAGE = ROOT / "docs" / "wrong-servers.md"

SEVERAL = 3  # failures shown, since the first ones may belong to another row

OWN, ELSEWHERE, MISSED, BROKEN = "own row", "elsewhere", "not caught", "does not run"


@dataclass(frozen=True)
class Variant:
    """A mistake: `new` replaces `old` in `file` of the server, and `row` must notice it."""

    id: str
    row: str
    stage: int
    file: str
    old: str
    new: str
    why: str

    def apply(self, directory: Path) -> None:
        """Put the mistake into a copy of the server; raise `CourseError` if it does not fit."""
        file = directory / self.file
        source = file.read_text(encoding="utf-8")
        if source.count(self.old) != 1:
            raise CourseError(f"{self.id}: {self.file} does not have `old` exactly once")
        file.write_text(source.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Result:
    """The result of a variant: the failed rows, and a failed test.

    `by_url` is the same for a server that no command starts.
    """

    variant: str
    row: str
    stage: int
    verdict: str
    rows: tuple[str, ...] = ()
    test: str = ""
    by_url: str = ""
    seconds: float = 0.0
    said: str = ""


def load_variants(directory: Path = LISTS) -> list[Variant]:
    """Return the variants of every list; raise `CourseError` for a mistake in one."""
    variants: list[Variant] = []
    for file in sorted(directory.glob("*.toml")):
        try:
            rows = tomllib.loads(file.read_text(encoding="utf-8"))["wrong"]
            variants += [Variant(**row) for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CourseError(f"{file.name}: {error}") from error
    return sorted(variants, key=lambda variant: (variant.stage, variant.row))


def try_variant(variant: Variant) -> Result:
    """Grade a variant and return what caught it."""
    began = time.monotonic()
    result = Result(variant.id, variant.row, variant.stage, MISSED)
    try:
        with _server(variant) as running:
            result = _looked_at(result, running)
    except NotReached as error:
        result = replace(result, verdict=BROKEN, said=str(error))
    return replace(result, seconds=round(time.monotonic() - began, 1))


def _looked_at(result: Result, running: Running) -> Result:
    stage = find_stage(load_course(), str(result.stage))
    requirements = due(load_requirements(), stage.number)
    (own,) = (row for row in requirements if row.id == result.row)
    target = Target(
        stage,
        own.tests,
        running.base_url,
        solution=running.solution,
        log=running.log,
        weather=running.weather,
        admin=running.admin,
        craft=False,
        most_failures=SEVERAL,
    )
    if found := _failure_of(own, run_suite(target).outcomes):
        by_url = OWN
        if found.needs_cmd:
            without = run_suite(replace(target, solution=None)).outcomes
            by_url = OWN if _failure_of(own, without) else NEEDS_CMD
        return replace(result, verdict=OWN, rows=(own.id,), test=found.test, by_url=by_url)

    earlier = [one for one in load_course() if one.number < stage.number]
    suites = tuple(f"tests/{one.name}" for one in (stage, *earlier))
    suite = run_suite(replace(target, suites=suites, most_failures=0))
    if not suite.outcomes:
        return replace(result, verdict=BROKEN, said=suite.broken)
    rows = judge(requirements, suite)
    failed = tuple(row.id for row in rows if row.status == "fail")
    failures = [outcome for row in rows if row.status == "fail" for outcome in row.failures]
    if own.id in failed:
        failures = [outcome for row in rows if row.id == own.id for outcome in row.failures]
    verdict = OWN if own.id in failed else ELSEWHERE if failed else MISSED
    by_url = ""
    if failed:
        by_url = verdict if any(not one.needs_cmd for one in failures) else NEEDS_CMD
    test = failures[0].test if failures else ""
    return replace(
        result, verdict=verdict, rows=failed, test=test, by_url=by_url, said=suite.broken
    )


def _failure_of(row: Requirement, outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return a failure of the row itself, or None."""
    for outcome in outcomes:
        says_so = outcome.failed and not outcome.craft and outcome.step in ("", row.id)
        if says_so and outcome.function in row.tests:
            return outcome
    return None


@contextmanager
def _server(variant: Variant) -> Iterator[Running]:
    node = shutil.which("node")
    if node is None:
        raise CourseError("Node.js is missing: install `node`")
    with tempfile.TemporaryDirectory(prefix="wrong-", ignore_cleanup_errors=True) as name:
        directory, workplace = Path(name, "server"), Path(name, "work")
        shutil.copytree(SERVER, directory)
        variant.apply(directory)
        workplace.mkdir()
        with launched(
            (node, "server.mjs", "--port", "{port}"),
            directory,
            variant.stage,
            workplace,
            changes={"STAGE": str(variant.stage)},
            port=None,
            within=30.0,
        ) as running:
            yield running


def chosen(variants: Sequence[Variant], wanted: Sequence[str]) -> list[Variant]:
    """Return the variants of these stages, rows or ids; raise `CourseError` for an unknown word."""
    known = {name for one in variants for name in (one.id, one.row, str(one.stage))}
    if unknown := [name for name in wanted if name not in known]:
        raise CourseError(f"no variant, row or stage: {', '.join(unknown)}")
    return [
        one
        for one in variants
        if not wanted or not {one.id, one.row, str(one.stage)}.isdisjoint(wanted)
    ]


def page(variants: Sequence[Variant], results: Mapping[str, Result]) -> str:
    """Return the tables in Markdown: by row, then each variant."""
    tried = [results[one.id] for one in variants if one.id in results]
    verdicts = Counter(result.verdict for result in tried)
    by_url = Counter(result.by_url for result in tried)
    lines = [
        "# Which wrong servers a grade notices",
        "",
        "Each variant is the Node server of `tools/tests/grade/solutions` with one mistake in it"
        " (`tools/mutate/wrong`). Somebody who had not read the tests chose them from the"
        " contract. The quick look of a grade runs against each. `python3 noxfile.py wrong` wrote"
        " this page.",
        "",
        f"Of {len(variants)} variants {len(tried)} were run: {verdicts[OWN]} were caught in their"
        f" own row, {verdicts[ELSEWHERE]} in another row only, {verdicts[MISSED]} not at all"
        + (f", {verdicts[BROKEN]} did not start." if verdicts[BROKEN] else "."),
        "",
        f"A grade by URL catches {by_url[OWN]} of them in their own row. For {by_url[NEEDS_CMD]}"
        " it says *not looked at: needs --cmd*: these show after a restart, in the files and the"
        " log of the server, or in a token that is signed with its secret.",
        "",
        "| row | variants | own row | elsewhere | not caught | by URL: own row | needs --cmd |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in dict.fromkeys(one.row for one in variants):
        of_row = [one for one in variants if one.row == row]
        found = [results[one.id] for one in of_row if one.id in results]
        verdict, url = Counter(one.verdict for one in found), Counter(one.by_url for one in found)
        counts = (len(of_row), verdict[OWN], verdict[ELSEWHERE], verdict[MISSED])
        cells = [*counts, url[OWN], url[NEEDS_CMD]]
        lines.append(f"| {row} | {' | '.join(str(number) for number in cells)} |")
    lines += ["", "## Each variant", "", "| variant | row | caught by | |", "|---|---|---|---|"]
    for one in variants:
        result = results.get(one.id)
        lines.append(f"| {one.id} | {one.row} | {_caught_by(result)} | {_remark(result)} |")
    return "\n".join(lines) + "\n"


def _caught_by(result: Result | None) -> str:
    if result is None:
        return "not run"
    if not result.rows:
        return f"**{result.verdict}**"
    sentence = Outcome(result.test, "failed").sentence.partition("[")[0].strip()
    where = "" if result.verdict == OWN else f"only {', '.join(result.rows)}: "
    return f"{where}{sentence}"


def _remark(result: Result | None) -> str:
    return "needs --cmd" if result and result.by_url == NEEDS_CMD else ""


def read_results(file: Path) -> dict[str, Result]:
    """Return the results of earlier runs by variant."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text(encoding="utf-8"))
    return {name: Result(**row | {"rows": tuple(row["rows"])}) for name, row in kept.items()}


_writing = threading.Lock()


def keep(variants: Sequence[Variant], result: Result, file: Path) -> None:
    """Add a result to those in the file, and write the page beside it."""
    with _writing:
        # Read again each time, since another process may run variants at the same time.
        known = {one.id for one in variants}
        results = {name: one for name, one in read_results(file).items() if name in known}
        results[result.variant] = result
        data = {name: asdict(results[name]) for name in sorted(results)}
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        file.with_suffix(".md").write_text(page(variants, results), encoding="utf-8")


def main(arguments: Sequence[str], _root: Path = ROOT) -> int:
    """Run the variants, some at a time, and write the results after each."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate.wrong", description=__doc__)
    parser.add_argument("wanted", nargs="*", metavar="STAGE|ROW|ID")
    parser.add_argument(
        "--missed", action="store_true", help="only those that their row did not catch last time"
    )
    parser.add_argument("--jobs", type=int, default=2, help="at a time (default: %(default)s)")
    options = parser.parse_args(arguments)
    variants, file = load_variants(), PAGE.with_suffix(".json")
    todo = chosen(variants, options.wanted)
    if options.missed:
        before = read_results(file)
        todo = [one for one in todo if one.id not in before or before[one.id].verdict != OWN]
    bad = 0

    def look(variant: Variant) -> Result:
        result = try_variant(variant)
        keep(variants, result, file)
        return result

    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(look, todo):
            bad += result.verdict in (MISSED, BROKEN)
            where = f" ({', '.join(result.rows)})" if result.verdict == ELSEWHERE else ""
            print(f"{result.row} {result.variant}: {result.verdict}{where}, {result.seconds} s")
            if result.said:
                print(result.said)
            sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(run(main))
