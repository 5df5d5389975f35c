"""Imports run one way in every app: features import shared modules, which import no feature.

A feature is a folder with a router. Other features may import only `auth`, which defines users.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, Stage, load_course

Arrow = tuple[str, str]

# A program starts with each of these, so they import every feature, and no module imports them.
ENTRIES = {"app.main", "app.jobs.worker"}
TABLES = "app.models"  # knows every table, for the programs and for Alembic
KNOWS_USERS = "app.dependencies"  # for the handlers of all features

STAGES = load_course()


def read_modules(stage: Stage) -> dict[str, ast.Module]:
    """Return the modules of a stage's app by name."""
    directory = ROOT / stage.directory
    return {
        name_of(path.relative_to(directory)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((directory / "app").rglob("*.py"))
    }


def name_of(path: Path) -> str:
    """Return the name by which the module at this path is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def arrows(modules: dict[str, ast.Module], *, at_start: bool = False) -> Iterator[Arrow]:
    """Yield each pair of a module and its import; `at_start`: only imports outside of functions."""
    for name, tree in modules.items():
        for node in tree.body if at_start else ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    target = module if module in modules else node.module
                    if target in modules:
                        yield name, target


def feature_of(module: str, modules: dict[str, ast.Module]) -> str | None:
    """Return the feature that a module belongs to, None for a shared module."""
    folder = ".".join(module.split(".")[:2])
    return folder if f"{folder}.router" in modules else None


def may_import(module: str, target: str, modules: dict[str, ast.Module]) -> bool:
    """Return whether the module may import the target."""
    if module in ENTRIES:
        return True
    if target in {*ENTRIES, TABLES}:
        return False
    if module == TABLES:
        return True
    feature, other = feature_of(module, modules), feature_of(target, modules)
    if other == "app.auth":
        return feature is not None or module == KNOWS_USERS
    return other in (None, feature)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_import_of_an_app_is_allowed(stage: Stage) -> None:
    modules = read_modules(stage)
    found = set(arrows(modules))
    assert len(found) > 10
    assert [arrow for arrow in sorted(found) if not may_import(*arrow, modules)] == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_imports_of_an_app_form_a_circle(stage: Stage) -> None:
    modules = read_modules(stage)
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for module, target in arrows(modules, at_start=True):
        graph[module].add(target)
    TopologicalSorter(graph).prepare()  # raises `CycleError` with the modules of a circle


def test_a_forbidden_import_is_noticed() -> None:
    tree = ast.parse("")
    names = ("app.main", "app.params", "app.todos.router", "app.todos.service", "app.blog.router")
    modules = dict.fromkeys(names, tree)
    assert may_import("app.todos.router", "app.todos.service", modules)
    assert may_import("app.main", "app.blog.router", modules)
    assert not may_import("app.params", "app.todos.service", modules)
    assert not may_import("app.todos.service", "app.blog.router", modules)
    assert not may_import("app.todos.service", "app.main", modules)
