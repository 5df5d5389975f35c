"""In every app, imports run one way: routers import services, and features import shared modules.

A unit is a folder of `app/` or a module in it. A router is a unit of its own, on top of its
feature: it may import shared modules that import the feature's tables, as `dependencies.py` does.
An import counts wherever it stands, also within a function or for the type checker alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, Stage, load_course

ROUTER = "router"


def unit_of(module: str) -> str:
    """Return the unit of a module such as `app.auth.models`, which is `auth`."""
    _, unit, *rest = module.split(".")
    return f"{unit}.{ROUTER}" if rest[:1] == [ROUTER] else unit


def imports_of(source: str) -> Iterator[str]:
    """Yield the modules of `app` that a source imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports in an app are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("app."))


def arrows_of(directory: Path) -> dict[str, set[str]]:
    """Return, for each unit of the app in a directory, the other units that it imports."""
    arrows: dict[str, set[str]] = {}
    for path in sorted((directory / "app").rglob("*.py")):
        unit = unit_of(".".join(path.relative_to(directory).with_suffix("").parts))
        imported = {unit_of(name) for name in imports_of(path.read_text(encoding="utf-8"))}
        arrows.setdefault(unit, set()).update(imported - {unit})
    return arrows


def find_cycle(arrows: dict[str, set[str]]) -> str | None:
    """Return a way from a unit back to itself, if there is one."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return None


@pytest.mark.parametrize("stage", load_course(), ids=lambda stage: stage.name)
def test_imports_never_lead_back_to_their_beginning(stage: Stage) -> None:
    arrows = arrows_of(ROOT / stage.directory)
    assert {"main", "todos", "todos.router"} <= set(arrows)
    assert find_cycle(arrows) is None


@pytest.mark.parametrize(
    "source",
    [
        "from app.blog.models import Post",
        "from app import blog",
        "import app.blog.models",
        "if TYPE_CHECKING:\n    from app.blog.models import Post",
        "def later() -> None:\n    from app.blog.service import posts",
    ],
)
def test_a_feature_that_imports_its_importer_is_found(tmp_path: Path, source: str) -> None:
    for name, text in {
        "main": "from app.auth.router import router",
        "auth/router": "from app.dependencies import CurrentUser",
        "dependencies": "from app.auth.models import User",
        "blog/models": "from app.auth.models import User",
    }.items():
        path = tmp_path / "app" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert find_cycle(arrows_of(tmp_path)) is None
    (tmp_path / "app/auth/models.py").write_text(source, encoding="utf-8")
    assert find_cycle(arrows_of(tmp_path)) in ("auth <- blog <- auth", "blog <- auth <- blog")
