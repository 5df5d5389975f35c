"""Imports go in one direction: tools and tests import `course`, and not each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.catalog.stages import ROOT

# The modules of this repository that a folder may import; `*/tests` are the tests of a folder.
MAY_IMPORT = {
    "course/catalog": {"course.catalog"},
    "course/harness": {"course"},
    "course/tests": {"course"},
    "tests": {"course", "tests"},
    "tools": {"course", "tools"},
    "benchmarks": {"course", "benchmarks"},
}


def imports_of(path: Path) -> Iterator[str]:
    """Return the modules of this repository that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name for name in names if name.partition(".")[0] in FOLDERS)


FOLDERS = {"course", "tests", "tools", "benchmarks"}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_only_downwards(folder: str) -> None:
    allowed = MAY_IMPORT[folder]
    back = [
        f"{path.relative_to(ROOT).as_posix()} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imports_of(path)
        if not any(name == one or name.startswith(f"{one}.") for one in allowed)
    ]
    assert back == []


def test_no_tool_imports_the_tests_of_a_tool() -> None:
    tools = [path for path in (ROOT / "tools").rglob("*.py") if "tests" not in path.parts[-4:-1]]
    assert len(tools) > 40
    importing = [path.name for path in tools for name in imports_of(path) if ".tests" in name]
    assert importing == []
