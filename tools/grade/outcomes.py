"""What became of each test, as `plugin.py` writes it down and everybody else reads it.

One JSON object a line, written at once: when pytest itself dies, what it knew is still there.
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

# What `app/unfinished.py` of a starter answers, and what its log says where that cannot answer.
_TO_DO = re.compile(
    r"^→ 501$.*\"TODO ([\w., ]+):|NotImplementedError: TODO ([\w., ]+):", re.MULTILINE | re.DOTALL
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8}))")

Verdict = Literal["passed", "failed", "skipped", "error"]


@dataclass(frozen=True)
class Outcome:
    """One test's end; texts are empty where there is nothing to say.

    `step` is the requirement of the operation in which it failed, when that was one that the test
    only builds on; `reason` is why it was skipped. `cites` are the sentences of the contract that
    the test checks; a `craft` test grades nobody. `sent` is the request on one line; `exception`
    and `place`, such as `app/main.py:41`, are what the server's log tells of that request. One that
    `needs_cmd` restarts a server, or knows its secret.
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
        """The TODO of a starter that answered, such as `3.1, 3.2`; empty where none did."""
        found = _TO_DO.search(self.exchange) or _TO_DO.search(self.exception)
        return (found[1] or found[2]) if found else ""

    def is_about(self, row_id: str) -> bool:
        """Return whether it says something against a row itself, and not against one before it."""
        return self.step in ("", row_id) and not self.todo

    @property
    def failed(self) -> bool:
        """Whether the server was not as the test wants it."""
        return self.verdict == "failed"

    @property
    def function(self) -> str:
        """The node id without parameters, as the map of requirements has it."""
        return self.test.partition("[")[0]

    @property
    def sentence(self) -> str:
        """What the test says must hold, in words."""
        function, _, parameters = self.test.rpartition("::")[2].partition("[")
        sentence = function.removeprefix("test_").replace("_", " ")
        return f"{sentence} [{_readable(parameters)}" if parameters else sentence


def _readable(text: str) -> str:
    """Return pytest's ASCII with the letters that it stands for; what moves a cursor stays."""

    def letter(escape: re.Match[str]) -> str:
        number = int(escape[1] or escape[2], 16)
        return chr(number) if number <= sys.maxunicode and chr(number).isprintable() else escape[0]

    return _ESCAPE.sub(letter, text)


@dataclass(frozen=True)
class GaveUp:
    """Why the tests below a directory (empty: all) were not run to their end, and after which."""

    directory: str
    why: str
    at: str


@dataclass(frozen=True)
class Suite:
    """All that a run of pytest left behind.

    `left_out` are tests that were not chosen, to save time; `craft` are those, chosen or not, that
    grade nobody. `gave_up` says what was not run through the server's fault, `broken` why the run
    ended through ours.
    """

    outcomes: tuple[Outcome, ...] = ()
    chosen: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    gave_up: tuple[GaveUp, ...] = ()
    broken: str = ""
    craft: tuple[str, ...] = ()

    @property
    def missing(self) -> set[str]:
        """The tests that grade, were chosen, and have no end."""
        return set(self.chosen) - {outcome.test for outcome in self.outcomes} - set(self.craft)

    @property
    def missing_craft(self) -> set[str]:
        """The same of those that grade nobody."""
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
    """Return what the lines say; the last one may have been cut short."""
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
