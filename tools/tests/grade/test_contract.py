"""Every test of a graded suite is contract or craft; every sentence of the contract has tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from course.catalog.stages import ROOT, load_course
from course.harness.contract import load_sentences
from course.tests.inner_pytest import run_pytest
from tools.grade.hints import load_test_hints, name_of_test
from tools.tests.grade import kinds_of_tests

SUITES = [f"tests/{stage.name}" for stage in load_course()]
SENTENCES = load_sentences()

pytestmark = pytest.mark.timeout(300)  # collecting takes seconds, or many seconds on a busy machine

SOURCE = """
import pytest
from course.harness.contract import kind_of, variants

pytestmark = pytest.mark.craft


@pytest.fixture(autouse=True)
def _say(request):
    kind = kind_of(request.node, stage={stage})
    print(request.node.name, "craft" if kind.is_craft else "contract", *kind.cites)


def test_file(): ...


@pytest.mark.contract("T1", "T2")
def test_function(): ...


@pytest.mark.contract("T1")
@pytest.mark.parametrize("value", variants("ab", craft="b"))
def test_variants(value): ...


@pytest.mark.contract("E22", since=4)
def test_since(): ...


@pytest.mark.contract("T1")
@pytest.mark.craft
def test_both(): ...


@pytest.mark.contract
def test_cites_nothing(): ...
"""


@pytest.fixture(scope="module")
def tests() -> list[dict[str, Any]]:
    """Return the kind of each test of the graded suites, from its markers."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly"]
    command += ["-p", "no:cacheprovider", "-p", kinds_of_tests.__name__, "--assert=plain"]
    done = subprocess.run([*command, *SUITES], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found = list(kinds_of_tests.read(done.stdout))
    assert len({test["test"].partition("::")[0].rpartition("/")[0] for test in found}) == len(
        SUITES
    )
    return found


def test_every_test_is_either_contract_or_craft(tests: list[dict[str, Any]]) -> None:
    assert [test["problem"] for test in tests if test["problem"]] == []


def test_every_sentence_that_is_cited_exists(tests: list[dict[str, Any]]) -> None:
    unknown = {name for test in tests for name in test["cites"]} - SENTENCES.keys()
    assert unknown == set()


def test_no_contract_test_cites_craft_alone(tests: list[dict[str, Any]]) -> None:
    wrong = [
        test["test"]
        for test in tests
        if not test["is_craft"] and all(SENTENCES[name].is_craft for name in test["cites"])
    ]
    assert wrong == []


def test_a_craft_test_cites_sentences_that_are_craft(tests: list[dict[str, Any]]) -> None:
    wrong = {
        (test["test"].partition("[")[0], name)
        for test in tests
        if test["is_craft"]
        for name in test["cites"]
        if not SENTENCES[name].is_craft
    }
    assert wrong == set()


def test_every_sentence_has_a_contract_test(tests: list[dict[str, Any]]) -> None:
    covered = {name for test in tests if not test["is_craft"] for name in test["cites"]}
    graded = {name for name, sentence in SENTENCES.items() if not sentence.is_craft}
    assert graded - covered == set()


def test_no_id_of_a_test_is_an_address_in_memory(tests: list[dict[str, Any]]) -> None:
    unnamed = re.compile(r"0x[0-9a-f]{6,}|object object")
    assert [test["test"] for test in tests if unnamed.search(test["test"])] == []


def test_every_contract_test_has_a_hint_in_both_languages(tests: list[dict[str, Any]]) -> None:
    known = load_test_hints()
    grading = {
        name_of_test(test["test"].partition("[")[0])
        for test in tests
        if not test["is_craft"] and not test["test"].startswith("tests/capstone")
    }
    assert sorted(grading - known.keys()) == [], "write a hint into tools/grade/test-hints.toml"
    assert sorted(known.keys() - grading) == [], "there is no graded test of this name"
    for test, hint in known.items():
        assert hint["en"] != hint["ru"], test
        assert len(hint["en"].split()) <= 32, test


def test_a_sentence_is_quoted_without_its_heading() -> None:
    assert SENTENCES["E3"].text == "Unknown ids answer 404"
    assert SENTENCES["T9"].text == "`DELETE /todos/{id}` · 204 · 404"
    assert SENTENCES["E13"].text == "HEAD works wherever GET does"
    assert (SENTENCES["E13"].is_craft, SENTENCES["J8"].is_craft) == (True, True)
    assert not SENTENCES["E18"].is_craft
    assert SENTENCES["E19"].is_craft


def test_every_sentence_and_every_row_of_a_table_has_an_id() -> None:
    """No test can cite the words behind the last id of a paragraph or a row."""
    text = (
        (ROOT / "docs" / "contract.md")
        .read_text(encoding="utf-8")
        .partition("\n## ")[2]
        .partition("\n")[2]
    )
    paragraphs = [part for part in text.replace("\n- ", "\n\n").split("\n\n") if "\n|" not in part]
    left = [part.rpartition("]")[2].strip(" .·)\n") for part in paragraphs]
    assert [words for words in left if words and not words.startswith(("#", "|"))] == []
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert [row for row in rows if "[" not in row.split(" | ")[0].rpartition("`")[2]] == []


def test_ids_are_unique() -> None:
    text = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8").partition("\n## ")[2]
    assert [name for name in SENTENCES if text.count(f"[{name}]") != 1] == []


@pytest.mark.parametrize("stage", [1, 4])
def test_the_closest_marker_wins(tmp_path: Path, stage: int) -> None:
    source = SOURCE.replace("{stage}", str(stage))
    lines = run_pytest(tmp_path, source, "-s", "-q").replace("\n.", "\n").splitlines()
    said = {line.lstrip(".").partition(" ")[0]: line.partition(" ")[2] for line in lines if line}
    assert said["test_file"] == "craft"
    assert said["test_function"] == "contract T1 T2"
    assert (said["test_variants[a]"], said["test_variants[b]"]) == ("contract T1", "craft")
    assert said["test_since"] == ("contract E22" if stage == 4 else "craft E22")
    everything = "\n".join(lines)
    assert "test_both: both contract and craft" in everything
    assert "test_cites_nothing: contract cites no sentence" in everything
