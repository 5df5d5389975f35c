"""Make a stage after the last one: a copy of it, with a requirement and a test of its own.

    python3 noxfile.py new-stage stage10_tags

The new stage is green at once. Then change it: its page, its page in `docs/teaching/`, its rows in
`stages.toml` and `course/catalog/requirements.toml`, its tests.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from course.catalog.command import run
from course.catalog.stages import ROOT, CourseError, Stage, load_course
from course.catalog.trees import listed
from tools.sync.propagate import adopt
from tools.teach.notes import PAGES

MINUTES = 120

PAGE = """# Stage {number} · {title}

*For {level}s. About {minutes} minutes.*

## What you build

TODO: one paragraph, and the new words of this lesson.

## Run it

In the course's directory:

```bash
python3 noxfile.py serve {number}
```

## What changed and why

| file | | what it is for |
|---|---|---|
| `README.md` | changed | This lesson. |

## How it works

## Try it

## Predict first

## Break it

## Go further

## For production
"""

ROWS = """
[[stage]]
number = {number}
directory = "{directory}"
title = "{title}"
level = "{level}"
goal = "TODO: what the stage is about, in one sentence."
minutes = {minutes}
rewrites = ["README.md"]
"""

REQUIREMENT = """
# --- Stage {number}: {title}

["{number}.1"]
text = "The stage runs and shows its documentation"
stage = {number}
"""

TEACHING = """# Stage {number} in class

## Show

1. `app/main.py`: TODO: what to point at. Name three files.

## Pause

- TODO: where the class stops and thinks.

## Usual mistakes

- TODO: what learners often do here, and why it fails.

## Leave with

Exercise 1: TODO: why this exercise.
"""

PACKAGE = '"""Stage {number}: {title} (row {number}.1)."""\n'

TEST = '''"""Row {number}.1: the stage runs and shows its documentation."""

import pytest

from course.harness.driver import Api


@pytest.mark.requirement("{number}.1")
@pytest.mark.craft
def test_the_documentation_lists_the_operations(api: Api) -> None:
    description = api.request("GET", "/openapi.json").json()
    assert "/todos" in description["paths"]
'''


def make_stage(directory: str, root: Path = ROOT) -> Stage:
    """Make the stage and return it; `CourseError` when the name does not fit the next one."""
    stages = load_course(root)
    last, number = stages[-1], len(stages) + 1
    name = re.fullmatch(rf"stage{number:02}_([a-z0-9_]+)", directory)
    if name is None:
        raise CourseError(f"name it stage{number:02}_ and a word, such as stage{number:02}_tags")
    home, suite = root / directory, root / "tests" / f"stage{number:02}"
    for place in (home, suite):
        if place.exists():
            raise CourseError(f"{place.name} exists already")
    title = name[1].replace("_", " ").capitalize()
    words = {
        "number": number,
        "directory": directory,
        "title": title,
        "level": last.level,
        "minutes": MINUTES,
    }
    for path in listed(root, last.directory):
        copy = home / Path(path).relative_to(last.directory)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, copy)
    _write(home / "README.md", PAGE.format(**words))
    _write(root / PAGES / f"stage{number:02}.md", TEACHING.format(**words))
    _write(suite / "__init__.py", PACKAGE.format(**words))
    _write(suite / f"test_{name[1]}.py", TEST.format(**words))
    _add(root / "stages.toml", ROWS.format(**words))
    _add(root / "course" / "catalog" / "requirements.toml", REQUIREMENT.format(**words))
    made = load_course(root)
    adopt(root, made, made[-1])
    return made[-1]


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _add(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as rows:
        rows.write(text)


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Make the stage that the command line names; return 0."""
    parser = argparse.ArgumentParser(
        prog="python3 noxfile.py new-stage",
        description="Make a stage after the last one: a copy of it, with a test of its own.",
    )
    parser.add_argument("directory", help="its directory, such as stage10_tags")
    stage = make_stage(parser.parse_args(arguments).directory, root)
    print(f"{stage.directory} is made. Try: python3 noxfile.py {stage.name}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
