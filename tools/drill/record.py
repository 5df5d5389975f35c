"""What clients saw during a drill: answers, errors, and everything that was acknowledged."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

WRITE, READ, JOB, CHAT = "write", "read", "job", "chat"
JOB_DONE = "job done"
KINDS = (WRITE, READ, JOB, JOB_DONE, CHAT)


@dataclass
class Record:
    """One drill, as its clients saw it. A text that was acknowledged is unique in all drills."""

    began: float = field(default_factory=time.time)
    ended: float = 0.0
    attempts: int = 0  # requests and chat frames that were sent
    failed_attempts: int = 0  # of these, without an answer or with a 5xx, whoever saw it
    errors: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    good_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    heard: list[str] = field(default_factory=list)  # by somebody in the chat
    heard_twice: list[str] = field(default_factory=list)  # on one socket

    def good(self, kind: str) -> None:
        """Note that a client got what it wanted."""
        self.good_at[kind].append(time.time())

    def error(self, kind: str, what: str) -> None:
        """Note that a client got something else, or nothing."""
        self.errors[kind][what] += 1

    def error_count(self) -> int:
        """Return how many errors clients saw."""
        return sum(counter.total() for counter in self.errors.values())

    def longest_outage(self, kind: str) -> float:
        """Return the longest time without a good answer of a kind, in seconds."""
        during = (at for at in self.good_at[kind] if self.began < at < self.ended)
        moments = [self.began, *sorted(during), self.ended]
        return max(later - earlier for earlier, later in pairwise(moments))


@dataclass(frozen=True)
class Difference:
    """What was promised and is not there, and what is there more often than it should be."""

    lost: list[str]
    doubled: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)

    def __add__(self, other: Difference) -> Difference:
        return Difference(self.lost + other.lost, self.doubled + other.doubled)


def compare(where: str, acknowledged: Iterable[str], there: Iterable[str]) -> Difference:
    """Return how what is there differs from what was acknowledged, which may be less.

    A client that got no answer does not know what became of its request: once or never, both are
    right. Twice never is.
    """
    counts = Counter(there)
    return Difference(
        lost=[f"{where}: {text}" for text in acknowledged if text not in counts],
        doubled=[f"{where}: {text}" for text, count in counts.items() if count > 1],
    )
