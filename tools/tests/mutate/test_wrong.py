"""The wrong variants of the Node server fit it, and the quick look of a grade notices them.

Their author chose them from the contract and had not read the tests. `node.toml` has
the shorter list, `node_more.toml` further ones. `python3 noxfile.py wrong` runs all of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course.catalog.requirements import IDS
from course.catalog.stages import ROOT, CourseError
from tools.mutate import wrong
from tools.mutate.wrong import (
    ELSEWHERE,
    MISSED,
    OWN,
    PAGE,
    SERVER,
    Result,
    Variant,
    chosen,
    load_variants,
    main,
    page,
    read_results,
)
from tools.tests.grade.test_solutions import with_node

VARIANTS = load_variants()
RESULTS = read_results(PAGE.with_suffix(".json"))
WANTED_IN_OWN_ROW = 0.95
# A kind of mistake that a grade must catch in its own row, with a variant that makes it.
NAMED = {
    "list-blocks-the-event-loop": "2.4",
    "patch-title-null-taken": "2.6",
    "id-over-64-bits-is-500": "2.6",
    "expired-token-taken": "3.6",
    "token-signed-with-another-key-taken": "3.6",
    "delete-without-token": "3.7",
    "jobs-gone-after-restart": "5.5",
    "author-deletes-others-posts": "7.3",
    "author-edits-others-comments": "7.3",
    "author-deletes-others-comments": "7.3",
    "last-admin-demoted": "7.3",
    "ping-without-pong": "8.4",
    "history-gone-after-restart": "8.5",
}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.id)
def test_a_variant_changes_one_place_and_names_a_row(variant: Variant) -> None:
    source = (SERVER / variant.file).read_text(encoding="utf-8")
    assert source.count(variant.old) == 1
    assert variant.old != variant.new
    assert variant.row in IDS
    assert 1 <= variant.stage <= 8
    assert variant.why.endswith(".")


def test_ids_are_unique() -> None:
    assert len({variant.id for variant in VARIANTS}) == len(VARIANTS)


def test_every_variant_was_run_and_is_caught_in_its_own_row_or_nearly() -> None:
    found = {variant.id: RESULTS[variant.id] for variant in VARIANTS}
    missed = [name for name, result in found.items() if result.verdict not in (OWN, ELSEWHERE)]
    assert missed == []
    own = [name for name, result in found.items() if result.verdict == OWN]
    assert len(own) >= WANTED_IN_OWN_ROW * len(VARIANTS)
    assert {name: found[name].row for name in NAMED if found[name].verdict == OWN} == NAMED


def test_the_page_shows_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(VARIANTS, RESULTS)


def test_a_variant_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "todos.mjs").write_text("new", encoding="utf-8")
    variant = Variant("v", "1.1", 1, "todos.mjs", "old", "new", "Why.")
    with pytest.raises(CourseError, match=r"v: todos\.mjs does not have `old` exactly once"):
        variant.apply(tmp_path)


def test_variants_are_chosen_by_stage_row_or_id() -> None:
    assert {variant.stage for variant in chosen(VARIANTS, ["6"])} == {6}
    assert {variant.row for variant in chosen(VARIANTS, ["8.4"])} == {"8.4"}
    assert [variant.row for variant in chosen(VARIANTS, ["ping-without-pong"])] == ["8.4"]
    with pytest.raises(CourseError, match=r"no variant, row or stage: 8\.99"):
        chosen(VARIANTS, ["8.99"])


def test_a_variant_that_did_not_run_is_not_called_caught() -> None:
    variant = Variant("v", "1.1", 1, "todos.mjs", "old", "new", "Why.")
    assert "| v | 1.1 | not run |" in page([variant], {})
    missed = Result("v", "1.1", 1, MISSED)
    assert "| v | 1.1 | **not caught** |" in page([variant], {"v": missed})


@pytest.mark.timeout(120)
def test_a_variant_is_run_and_the_page_names_the_test_that_caught_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_node(1)  # skips where there is none
    monkeypatch.setattr(wrong, "PAGE", tmp_path / "docs" / "wrong.md")
    assert main(["list-ignores-limit"], ROOT) == 0
    (result,) = json.loads((tmp_path / "docs" / "wrong.json").read_text("utf-8")).values()
    assert (result["verdict"], result["rows"], result["by_url"]) == (OWN, ["1.1"], OWN)
    assert "1 were caught in their own row" in (tmp_path / "docs" / "wrong.md").read_text("utf-8")
