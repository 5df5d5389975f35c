"""Requirements 3.5, 3.6 and 3.7: rules that clients cannot observe, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stage02.test_source import handlers, names_used

pytestmark = pytest.mark.craft

SECURITY = "app/auth/security.py"
OPEN_TO_ALL = {"register", "sign_in"}  # handlers of app/auth/router.py
# Packages that make or read tokens and hashes. The course uses python-jose and passlib.
TOOLS = {
    "jose",
    "jwt",
    "jwcrypto",
    "authlib",
    "passlib",
    "bcrypt",
    "crypt",
    "argon2",
    "itsdangerous",
}
TAUGHT = {"jose", "passlib"}


@pytest.fixture(scope="module")
def modules(stage_directory: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the app by its path."""
    return {
        path.relative_to(stage_directory).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((stage_directory / "app").rglob("*.py"))
    }


def packages_imported(module: ast.Module) -> set[str]:
    """Return the top-level names of all packages that a module imports."""
    names = set()
    for node in ast.walk(module):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name.partition(".")[0] for alias in aliases}
            case ast.ImportFrom(module=str(source), level=0):
                names.add(source.partition(".")[0])
    return names


def calls(module: ast.Module, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function or method of this name."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Attribute(attr=called) | ast.Name(id=called)) if called == name:
                yield node


def needed(annotation: ast.expr | None) -> set[str]:
    """Return the names in an annotation: aliases, and the functions in `Depends(...)`."""
    return (
        {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
        if (annotation is not None)
        else set()
    )


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Return all parameters of a function."""
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def leads_to(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return the names that each dependency needs: parts of aliases, parameters of functions."""
    graph: dict[str, set[str]] = {}
    for module in modules.values():
        for node in ast.walk(module):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    graph.setdefault(name, set()).update(needed(value))
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    for parameter in parameters(node):
                        graph.setdefault(name, set()).update(needed(parameter.annotation))
    return graph


def reachable(start: set[str], graph: dict[str, set[str]]) -> set[str]:
    """Return every name that can be reached from these names."""
    found, waiting = set[str](), set(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= graph.get(name, set())
    return found


@pytest.mark.requirement("3.5", "3.6")
def test_only_one_module_imports_the_libraries_for_tokens_and_hashes(
    modules: dict[str, ast.Module],
) -> None:
    users = {path: packages_imported(module) & TOOLS for path, module in modules.items()}
    assert {path: used for path, used in users.items() if used} == {SECURITY: TAUGHT}


@pytest.mark.requirement("3.6")
def test_tokens_are_decoded_with_one_fixed_algorithm(modules: dict[str, ast.Module]) -> None:
    decoding = [
        call
        for call in calls(modules[SECURITY], "decode")
        if {"jose.jwt", "jwt.decode"} & names_used(modules[SECURITY])
    ]
    assert decoding
    for call in decoding:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "algorithms" in given
        match given["algorithms"]:
            case ast.List(elts=[_]):
                pass
            case other:
                pytest.fail(f"algorithms={ast.unparse(other)}: not a list of one")
    text = ast.unparse(modules[SECURITY])
    assert "HS256" in text
    # python-jose's options that turn off a check (the other name is passlib's)
    assert "verify_" not in text.replace("verify_and_update", "")


@pytest.mark.requirement("3.5")
def test_bcrypt_hashes_passwords_outside_the_event_loop(modules: dict[str, ast.Module]) -> None:
    used = names_used(modules[SECURITY])
    assert "passlib.context.CryptContext" in used
    (context,) = calls(modules[SECURITY], "CryptContext")
    schemes = next(keyword.value for keyword in context.keywords if keyword.arg == "schemes")
    assert ast.unparse(schemes) == "['bcrypt']"
    assert "to_thread.run_sync" in used
    limited = [
        call
        for call in calls(modules[SECURITY], "run_sync")
        if "limiter" in {keyword.arg for keyword in call.keywords}
    ]
    assert limited


@pytest.mark.requirement("3.7")
def test_every_protected_handler_depends_on_the_current_user(
    modules: dict[str, ast.Module],
) -> None:
    graph = leads_to(modules)
    schemes = {name for name, parts in graph.items() if "OAuth2PasswordBearer" in parts}
    assert schemes
    unguarded, found = [], 0
    for path, module in modules.items():
        if path not in ("app/todos/router.py", "app/auth/router.py"):
            continue
        for handler in handlers(module):
            found += 1
            asked = [needed(parameter.annotation) for parameter in parameters(handler)]
            if not reachable(set().union(*asked), graph) & schemes:
                unguarded.append(handler.name)
    assert found >= 9
    assert set(unguarded) <= OPEN_TO_ALL | {"refresh", "log_out"}
    for name in ("oauth2", "Depends", "CurrentUser"):
        assert name in ast.unparse(modules["app/dependencies.py"])


@pytest.mark.requirement("3.7")
def test_no_handler_reads_the_authorization_header_itself(modules: dict[str, ast.Module]) -> None:
    """One place reads the header: FastAPI's own dependency."""
    readers = [
        path
        for path, module in modules.items()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and str(node.value).lower() == "authorization"
    ]
    assert [path for path in readers if path.startswith(("app/todos", "app/auth"))] == []
