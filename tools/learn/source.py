"""Finds functions, classes and methods by name, in Python and in JavaScript."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_FUNCTION = re.compile(r"(?:export )?(?:async )?function (\w+)\(")
_CLASS = re.compile(r"(?:export )?class (\w+)\b")
_METHOD = re.compile(r"  (?:static )?(?:async )?(#?\w+)\(.*\{$")

Span = tuple[int, int]  # the number of the first line, from 0 on, and that of the line after it


def spans(path: str, source: str) -> dict[str, Span]:
    """Return the lines of each definition by its name; a method is `Class.method`.

    Raises `SyntaxError` for Python that cannot be parsed. JavaScript is found by its layout: the
    brace that closes a definition stands below its first letter, as in our starters.
    """
    if path.endswith(".js"):
        return dict(_in_javascript(source.splitlines()))
    return {name: _lines_of(node) for name, node in definitions(ast.parse(source))}


def definitions(
    node: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield functions and classes of Python by name; a nested one as `outer.inner`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + child.name, child
            yield from definitions(child, f"{prefix}{child.name}.")


def _lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Span:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first - 1, node.end_lineno or node.lineno


def _in_javascript(lines: list[str]) -> Iterator[tuple[str, Span]]:
    in_class, class_ends = "", 0
    for start, line in enumerate(lines):
        if found := _FUNCTION.match(line) or _CLASS.match(line):
            end = _closed(lines, start, "}")
            yield found[1], (start, end)
            if _CLASS.match(line):
                in_class, class_ends = found[1], end
        elif start < class_ends and (found := _METHOD.match(line)):
            yield f"{in_class}.{found[1]}", (start, _closed(lines, start, "  }"))


def _closed(lines: list[str], start: int, brace: str) -> int:
    """Return the number of the line after the closing brace."""
    ends = (number for number in range(start + 1, len(lines)) if lines[number] == brace)
    return next(ends, len(lines) - 1) + 1
