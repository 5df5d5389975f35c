"""Files that GitHub reads: forms for issues, the pull request template, Dependabot's settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.catalog.stages import ROOT, load_course

GITHUB = ROOT / ".github"
FORMS = sorted(
    path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)
WEEK = 7  # days


def load(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_asks_of_one(path: Path) -> None:
    form = load(path)
    assert form.keys() == {"name", "description", "title", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"dropdown", "input", "textarea"}
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids) > 0
    assert all(field["attributes"]["label"] for field in fields)
    assert all(field["validations"]["required"] for field in fields)


def test_the_form_for_lessons_offers_every_stage() -> None:
    (dropdown,) = (
        field
        for field in load(GITHUB / "ISSUE_TEMPLATE" / "lesson.yml")["body"]
        if field["type"] == "dropdown"
    )
    stages = [stage.directory for stage in load_course()]
    assert dropdown["attributes"]["options"] == [*stages, "another page"]


def test_the_template_of_a_pull_request_names_files_that_exist() -> None:
    text = (GITHUB / "pull_request_template.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.\w+)`", text)
    assert "CHANGELOG.md" in named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_dependabot_waits_a_week_after_a_release() -> None:
    updates = load(GITHUB / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {
        "github-actions",
        "docker",
        "docker-compose",
    }
    for update in updates:
        assert update["cooldown"]["default-days"] >= WEEK
        assert (ROOT / update["directory"].lstrip("/")).is_dir()
