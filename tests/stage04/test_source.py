"""Requirements 4.5 and 4.7: rules that clients cannot observe, read from the source."""

import ast
import re
from pathlib import Path

import pytest

from tests.stage02.test_source import names_called, names_used
from tests.stage03.test_source import packages_imported

pytestmark = pytest.mark.craft

# Each of these calls blocks the event loop while the disk works.
BLOCKING_METHODS = {"read_bytes", "write_bytes", "read_text", "write_text", "unlink", "rename"}
BLOCKING_FUNCTIONS = {
    "open",
    "os.replace",
    "os.rename",
    "os.remove",
    "os.unlink",
    "shutil.copyfileobj",
}


@pytest.fixture(scope="module")
def modules(stage_directory: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the images feature by its path."""
    return {
        path.relative_to(stage_directory).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((stage_directory / "app" / "images").rglob("*.py"))
    }


@pytest.mark.requirement("4.7")
def test_aiofiles_writes_and_deletes_the_files(modules: dict[str, ast.Module]) -> None:
    used = {
        ast.unparse(node.func)
        for module in modules.values()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
    }
    assert {"aiofiles.open", "aiofiles.os.unlink", "aiofiles.os.replace"} <= used


@pytest.mark.requirement("4.7")
def test_no_async_function_makes_a_blocking_file_call(modules: dict[str, ast.Module]) -> None:
    blocking = []
    for path, module in modules.items():
        for function in ast.walk(module):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                match node:
                    case ast.Call(func=ast.Attribute(attr=method)) if method in BLOCKING_METHODS:
                        called = ast.unparse(node.func)
                        if not called.startswith("aiofiles."):
                            blocking.append(f"{path}:{node.lineno} {called}")
                    case ast.Call(func=callee) if ast.unparse(callee) in BLOCKING_FUNCTIONS:
                        blocking.append(f"{path}:{node.lineno} {ast.unparse(callee)}")
    assert blocking == []


@pytest.mark.requirement("4.5")
def test_one_module_decodes_pictures_outside_the_event_loop(
    modules: dict[str, ast.Module], stage: int
) -> None:
    users = {path for path, module in modules.items() if "pyvips" in packages_imported(module)}
    assert users == {"app/images/pictures.py"}
    module = modules["app/images/pictures.py"]
    called = names_called(module)
    loaders = {name for name in called if re.match(r"new_from_|\w+load(_|$)", name)}
    # libvips supports many other formats. The thumbnails of the capstone need more loaders.
    thumbnails = {"jpegload", "pngload"} if stage >= 9 else set()
    assert loaders == {"jpegload_source"} | thumbnails
    in_a_thread = ("to_thread.run_sync", ".run_in_executor")
    assert any(name.endswith(in_a_thread) for name in names_used(module))
    assert "unlimited" not in ast.unparse(module)
