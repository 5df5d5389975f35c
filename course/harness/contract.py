"""Each test enforces sentences of the contract, or shows craft.

`docs/contract.md` ends each sentence with an id, such as `[E1]`. A test that cites sentences is
`contract`, and grades enforce it. A test that is marked `craft` checks further good practice, and
grades report it as advice. The closest marker wins: first the variant's, then the function's, then
the file's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from course.catalog.stages import ROOT

CONTRACT = ROOT / "docs" / "contract.md"
KINDS = ("contract", "craft")

_ID = re.compile(r"\[([A-Z]\d+)\]")


class MarkerError(Exception):
    """The markers of a test are wrong or missing; the message says how."""


@dataclass(frozen=True)
class Kind:
    """The kind of a test (craft or contract), and the sentences that it cites."""

    is_craft: bool
    cites: tuple[str, ...]


@dataclass(frozen=True)
class Sentence:
    """A sentence of the contract, or a row of one of its tables; one with a † is craft."""

    text: str
    is_craft: bool


def load_sentences(file: Path = CONTRACT) -> dict[str, Sentence]:
    """Return each sentence of the contract by its id."""
    text = file.read_text(encoding="utf-8")
    sentences: dict[str, Sentence] = {}
    start = text.index("\n## ")  # the introduction has no sentences
    for found in _ID.finditer(text, start):
        whole = text[start : found.start()]
        start = found.end()
        line = whole.rpartition("\n")[2]
        if line.startswith("| "):  # a row of a table: its id is in the first cell
            whole = line + text[start : text.index("\n", start)]
        sentences[found[1]] = Sentence(_plain(whole), "†" in whole)
    return sentences


def _plain(text: str) -> str:
    """Return a sentence on one line, without the heading or the row of a table before it."""
    if text.startswith("| "):
        text = text.replace("|", " · ")
    *before, last = text.split("\n")
    own: list[str] = []
    for line in reversed(before):
        if line.startswith(("#", "|")) or " | " in line:
            break
        own.insert(0, line)
    words = " ".join(" ".join([*own, last]).split())
    return words.lstrip(" ·.;:,()-").rstrip(" ·.;:,").removeprefix("† ")


def kind_of(item: pytest.Item, stage: int) -> Kind:
    """Return the kind of a test at this stage; raise `MarkerError` unless it has exactly one.

    `contract(…, since=4)` is craft before stage 4.
    """
    for level in _levels(item):
        marks = [mark for mark in level if mark.name in KINDS]
        if not marks:
            continue
        if len({mark.name for mark in marks}) > 1:
            raise MarkerError(f"{item.nodeid}: both contract and craft: remove one mark")
        cites = tuple(str(name) for mark in marks for name in mark.args)
        is_contract = marks[0].name == "contract"
        if is_contract and not cites:
            raise MarkerError(f"{item.nodeid}: contract cites no sentence: name one, such as E1")
        since = max(int(mark.kwargs.get("since", 0)) for mark in marks)
        return Kind(not is_contract or stage < since, cites)
    raise MarkerError(f"{item.nodeid}: neither contract nor craft: add one mark")


def _levels(item: pytest.Item) -> Iterator[Sequence[pytest.Mark]]:
    """Yield the marks of the variant, the function, its class, its file."""
    of_variant = list(item.callspec.marks) if hasattr(item, "callspec") else []
    yield of_variant
    yield [mark for mark in item.own_markers if mark not in of_variant]
    yield from (node.own_markers for node in list(item.iter_parents())[1:])


def variants(values: Iterable[Any], *, craft: Collection[Any]) -> list[Any]:
    """Return the variants of a test; those named in `craft` are craft."""
    everything = list(values)
    if unknown := [value for value in craft if value not in everything]:
        raise MarkerError(f"no such variants: {unknown}")
    return [
        pytest.param(value, marks=pytest.mark.craft) if value in craft else value
        for value in everything
    ]
