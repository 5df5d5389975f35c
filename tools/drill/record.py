"""The record of a drill: the answers and errors that clients saw, and all acknowledged writes."""

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
    """One drill, as its clients saw it. Each acknowledged text is unique in all drills."""

    began: float = field(default_factory=time.time)
    ended: float = 0.0
    attempts: int = 0  # requests and chat frames that were sent
    failed_attempts: int = 0  # of these, without an answer or with a 5xx
    errors: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    good_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    heard: list[str] = field(default_factory=list)  # by somebody in the chat
    heard_twice: list[str] = field(default_factory=list)  # on one socket

    def good(self, kind: str) -> None:
        """Record a success."""
        self.good_at[kind].append(time.time())

    def error(self, kind: str, what: str) -> None:
        """Record a failure: another answer, or none."""
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
    """The acknowledged texts that are missing, and the texts that exist more than once."""

    lost: list[str]
    doubled: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)

    def __add__(self, other: Difference) -> Difference:
        return Difference(self.lost + other.lost, self.doubled + other.doubled)


def compare(where: str, acknowledged: Iterable[str], there: Iterable[str]) -> Difference:
    """Compare the stored texts with the acknowledged ones; more may be stored.

    A client without an answer does not know whether its request was executed: once or never are
    both right. Twice is always wrong.
    """
    counts = Counter(there)
    return Difference(
        lost=[f"{where}: {text}" for text in acknowledged if text not in counts],
        doubled=[f"{where}: {text}" for text, count in counts.items() if count > 1],
    )
