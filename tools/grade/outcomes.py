"""The results of the tests: `plugin.py` writes them, all other modules read them.

Each line is one JSON object and is written at once, so results survive a crash of pytest.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

LOG_WIDTH = 200  # characters

# The answer of a starter's `app/unfinished.py`, and its log line where it cannot answer.
_TO_DO = re.compile(
    r"^→ 501$.*\"TODO ([\w., ]+):|NotImplementedError: TODO ([\w., ]+):", re.MULTILINE | re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8}))")

Verdict = Literal["passed", "failed", "skipped", "error"]


@dataclass(frozen=True)
class Outcome:
    """The result of one test; missing texts are empty.

    `step` is the requirement of the operation that failed, if the test only builds on it; `reason`
    is why it was skipped. `cites` are the sentences of the contract that the test checks; a `craft`
    test does not count for the grade. `sent` is the request on one line; `exception` and `place`,
    such as `app/main.py:41`, come from the server's log for that request. A test with `needs_cmd`
    restarts a server or uses its secret.
    """

    test: str
    verdict: Verdict
    seconds: float = 0.0
    reason: str = ""
    step: str = ""
    expected: str = ""
    got: str = ""
    exchange: str = ""
    curl: str = ""
    frames: str = ""
    log: str = ""
    cites: tuple[str, ...] = ()
    craft: bool = False
    sent: str = ""
    exception: str = ""
    place: str = ""
    source: str = ""
    hint: str = ""
    needs_cmd: bool = False

    @property
    def todo(self) -> str:
        """The TODO of a starter that answered, such as `3.1, 3.2`, or empty."""
        found = _TO_DO.search(self.exchange) or _TO_DO.search(self.exception)
        return (found[1] or found[2]) if found else ""

    def is_about(self, row_id: str) -> bool:
        """Return whether the failure is about a row itself, and not about an earlier one."""
        return self.step in ("", row_id) and not self.todo

    @property
    def failed(self) -> bool:
        """True if the server did not do what the test requires."""
        return self.verdict == "failed"

    @property
    def function(self) -> str:
        """The node id without parameters, as in the map of requirements."""
        return self.test.partition("[")[0]

    @property
    def sentence(self) -> str:
        """The rule of the test as a sentence."""
        function, _, parameters = self.test.rpartition("::")[2].partition("[")
        sentence = function.removeprefix("test_").replace("_", " ")
        return f"{sentence} [{_readable(parameters)}" if parameters else sentence


def _readable(text: str) -> str:
    """Return text with the characters that pytest has escaped; control characters stay escaped."""

    def letter(escape: re.Match[str]) -> str:
        number = int(escape[1] or escape[2], 16)
        return chr(number) if number <= sys.maxunicode and chr(number).isprintable() else escape[0]

    return _ESCAPE.sub(letter, text)


@dataclass(frozen=True)
class GaveUp:
    """The reason why the tests below a directory (empty: all tests) stopped, and the last test."""

    directory: str
    why: str
    at: str


@dataclass(frozen=True)
class Suite:
    """All results of a run of pytest.

    `left_out` are tests that were not chosen, to save time; `craft` are all craft tests, chosen or
    not. `gave_up` names tests that did not run because of the server; `broken` says which fault of
    ours ended the run.
    """

    outcomes: tuple[Outcome, ...] = ()
    chosen: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    gave_up: tuple[GaveUp, ...] = ()
    broken: str = ""
    craft: tuple[str, ...] = ()

    @property
    def missing(self) -> set[str]:
        """The chosen contract tests without a result."""
        return set(self.chosen) - {outcome.test for outcome in self.outcomes} - set(self.craft)

    @property
    def missing_craft(self) -> set[str]:
        """The chosen craft tests without a result."""
        return (set(self.chosen) & set(self.craft)) - {outcome.test for outcome in self.outcomes}


def log_end(text: str, lines: int) -> str:
    """Return the last lines of a log, the longest of them cut."""
    return "\n".join(
        line if len(line) <= LOG_WIDTH else f"{line[:LOG_WIDTH]} …"
        for line in text.splitlines()[-lines:]
    )


def write_event(file: Path, kind: str, **fields: Any) -> None:
    """Add a line."""
    with file.open("a", encoding="utf-8") as events:
        events.write(json.dumps({"event": kind} | fields) + "\n")


def write_outcome(file: Path, outcome: Outcome) -> None:
    """Add the line of a test."""
    write_event(file, "outcome", **asdict(outcome))


def read_suite(lines: Iterable[str], broken: str = "") -> Suite:
    """Return the results in the lines; the last line may be incomplete."""
    outcomes: dict[str, Outcome] = {}
    gave_up: list[GaveUp] = []
    fields: dict[str, Any] = {"broken": broken}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        match event.pop("event"):
            case "outcome":
                event["cites"] = tuple(event.get("cites", ()))
                outcomes[event["test"]] = Outcome(**event)
            case "chosen":
                fields |= {name: tuple(tests) for name, tests in event.items()}
            case "gave_up":
                gave_up.append(GaveUp(**event))
    return Suite(tuple(outcomes.values()), gave_up=tuple(gave_up), **fields)
