"""Ids of tests are readable, short and the same in each run."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.harness.identifiers import LONGEST, in_words, pytest_make_parametrize_id
from course.tests.inner_pytest import run_pytest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain", "plain"),
        ("", "empty"),
        ("Москва", "Москва"),
        ("a\0b", "a(NUL)b"),
        ("a\u2028\ud800", "a(line separator)(u+d800)"),
        (" \n", "(space)(newline)"),
        ("p" * 72, "72 × p"),
        ("ab" * 50, "50 × ab"),
        ("\n" * 50, "50 × (newline)"),
        ("1" + "2" * 99, "1" + "2" * 39 + "… 100 characters"),
    ],
)
def test_a_text_is_put_into_words(text: str, said: str) -> None:
    assert in_words(text) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"plain", "plain"),
        (b"\xd8\xff\xe0", "d8 ff e0"),
        (bytes(range(200, 220)), "c8 c9 ca cb cc cd ce cf … 20 bytes"),
        ([], "empty"),
        ({}, "empty"),
        ({"q": "London", "n": 1}, "q=London, n=1"),
        (["check", None, [1.5]], "check None 1.5"),
    ],
    ids=["text", "bytes", "many bytes", "list", "dictionary", "pairs", "nested"],
)
def test_other_values_are_put_into_words(value: object, said: str) -> None:
    assert pytest_make_parametrize_id(value) == said


@pytest.mark.parametrize(
    "value",
    [1, None, True, object(), [object()], {"a": {1, 2}}],
    ids=["number", "none", "truth", "object", "list of objects", "set"],
)
def test_values_without_a_stable_text_get_an_id_from_pytest(value: object) -> None:
    assert pytest_make_parametrize_id(value) is None


def test_a_long_list_is_cut() -> None:
    described = pytest_make_parametrize_id(["word"] * 100)
    assert described is not None
    assert len(described) == LONGEST + 1


def test_the_harness_gives_these_ids(tmp_path: Path) -> None:
    source = """
import pytest

@pytest.mark.parametrize("query", [{"q": "\\0"}])
def test_it(query): ...
"""
    assert "test_it[q=(NUL)]" in run_pytest(tmp_path, source, "-v")
