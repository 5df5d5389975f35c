"""The finished stages that starters are made from, in Python and in Node.js.

In Python a stage is its own directory. In Node.js `tools/learn/node/stage02/` holds the files that
stage 2 adds or changes; all others are those of stage 1.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from course.catalog.parts import Runtime
from course.catalog.requirements import load_requirements
from course.catalog.stages import ROOT, Stage
from course.catalog.trees import listed

NODE = "tools/learn/node"
ROWS = ROOT / NODE / "rows.toml"


def finished_files(stage: Stage, runtime: Runtime, root: Path = ROOT) -> dict[str, Path]:
    """Return every file of a finished stage: its path in the stage, and where it is."""
    places = [stage.directory]
    if runtime == "node":
        places = [f"{NODE}/stage{number:02}" for number in range(1, stage.number + 1)]
    files = {}
    for place in places:
        for path in listed(root, place):
            files[path.removeprefix(f"{place}/")] = root / path
    return files


def texts_of_rows(runtime: Runtime, language: str = "en") -> dict[str, str]:
    """Return the texts of all rows; in Russian only those that differ from the course's own."""
    texts = {row.id: row.text for row in load_requirements()} if language == "en" else {}
    if runtime == "node":
        key = "text" if language == "en" else f"text_{language}"
        rows = tomllib.loads(ROWS.read_text(encoding="utf-8"))
        texts |= {row_id: row[key] for row_id, row in rows.items()}
    return texts
