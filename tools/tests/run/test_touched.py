"""The stages of a change: where it was made, and where it was only copied to."""

from __future__ import annotations

from course.catalog.stages import load_course
from tools.run.touched import touched

STAGES = load_course()


def names(*paths: str) -> tuple[list[str], list[str]]:
    """Return the names of the changed and of the synced stages."""
    found = touched(STAGES, paths)
    return [stage.name for stage in found.changed], [stage.name for stage in found.synced]


def test_a_change_belongs_to_the_stage_where_it_was_made() -> None:
    directories = [stage.directory for stage in STAGES]
    paths = [f"{directory}/app/auth/router.py" for directory in directories[2:]]
    assert names(*paths) == (["stage03"], [stage.name for stage in STAGES[3:]])


def test_a_later_stage_with_a_change_of_its_own_is_changed() -> None:
    first, second = (stage.directory for stage in STAGES[:2])
    assert names(f"{first}/app/main.py", f"{second}/app/main.py", f"{second}/app/config.py") == (
        ["stage01", "stage02"],
        [],
    )


def test_a_suite_that_differs_changes_its_stage() -> None:
    assert names("tests/stage04/test_file.py") == (["stage04"], [])


def test_other_files_touch_no_stage() -> None:
    assert names("README.md", "tools/sync/drift.py", "docs/contract.md") == ([], [])
    assert touched(STAGES, ["tools/sync/drift.py"]).tools
    assert not touched(STAGES, ["docs/contract.md"]).tools


def test_all_stages_from_the_first_touched_one_are_tested() -> None:
    found = touched(STAGES, [f"{STAGES[6].directory}/app/main.py"])
    assert [stage.number for stage in found.with_later(STAGES)] == [7, 8, 9]
    assert touched(STAGES, ["README.md"]).with_later(STAGES) == []


def test_a_change_of_the_harness_concerns_all_stages() -> None:
    found = touched(STAGES, ["course/harness/server.py"])
    assert found.harness
    assert found.with_later(STAGES) == STAGES
