"""Requirements 2.2 and 2.4: rules that no client can observe. The tests read the app's source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.craft

HTTP_METHODS = {"get", "post", "put", "patch", "delete"}
# Each of these calls blocks the event loop while the database works.
SYNCHRONOUS = {
    "sqlalchemy.create_engine",
    "sqlalchemy.orm.Session",
    "sqlalchemy.orm.sessionmaker",
    "sqlite3.connect",
}


@pytest.fixture
def modules(stage_directory: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the app by its path."""
    return {
        str(path.relative_to(stage_directory)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((stage_directory / "app").rglob("*.py"))
    }


def handlers(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions that are decorated as routes, for example by `@router.get(...)`."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in function.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Attribute(attr=method)) if method in HTTP_METHODS:
                        yield function


def names_used(module: ast.Module) -> set[str]:
    """Return the full dotted names that the module imports or uses."""
    names = set()
    for node in ast.walk(module):
        match node:
            case ast.ImportFrom(module=str(source)):
                names |= {f"{source}.{alias.name}" for alias in node.names}
            case ast.Attribute(value=ast.Name(id=source), attr=name):
                names.add(f"{source}.{name}")
    return names


def names_called(module: ast.Module) -> set[str]:
    """Return the last part of the name of every function that is called."""
    functions = [node.func for node in ast.walk(module) if isinstance(node, ast.Call)]
    return {ast.unparse(function).rpartition(".")[2] for function in functions}


@pytest.mark.requirement("2.4", "6.3")
def test_every_route_is_an_async_function(modules: dict[str, ast.Module]) -> None:
    found = [(path, handler) for path, module in modules.items() for handler in handlers(module)]
    assert len(found) >= 6
    blocking = [
        f"{path}:{handler.lineno} {handler.name}"
        for path, handler in found
        if not isinstance(handler, ast.AsyncFunctionDef)
    ]
    assert blocking == []


@pytest.mark.requirement("2.2", "2.4")
def test_the_app_reaches_the_database_only_through_async_sqlalchemy(
    modules: dict[str, ast.Module],
) -> None:
    everything = set().union(*(names_used(module) for module in modules.values()))
    assert {
        "sqlalchemy.ext.asyncio.create_async_engine",
        "sqlalchemy.ext.asyncio.AsyncSession",
        "sqlalchemy.orm.DeclarativeBase",
    } <= everything
    blocking = [
        f"{path}: {name}"
        for path, module in modules.items()
        for name in names_used(module) & SYNCHRONOUS
        if name.rpartition(".")[2] in names_called(module)  # types and events may be imported
    ]
    assert blocking == []
