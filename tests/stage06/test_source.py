"""Requirements 6.3 and 6.4: rules that clients cannot observe, read from the source."""

import ast
from pathlib import Path

import pytest

from tests.stage02.test_source import handlers, names_used
from tests.stage03.test_source import calls, packages_imported

pytestmark = pytest.mark.craft

# Each of these would block the event loop until the provider answers.
BLOCKING = {"requests", "urllib3", "http"}


@pytest.fixture(scope="module")
def modules(stage_directory: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the weather feature by its path."""
    return {
        path.relative_to(stage_directory).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((stage_directory / "app" / "weather").rglob("*.py"))
    }


@pytest.mark.requirement("6.3")
def test_the_app_calls_the_provider_with_an_async_client(modules: dict[str, ast.Module]) -> None:
    assert "httpx.AsyncClient" in set().union(*map(names_used, modules.values()))
    for path, module in modules.items():
        assert not packages_imported(module) & BLOCKING, path
        assert not [name for name in names_used(module) if name.startswith("urllib.request")], path
        assert not names_used(module) & {"httpx.get", "httpx.Client", "time.sleep"}, path


@pytest.mark.requirement("6.3")
def test_the_handler_is_async_and_uses_a_dependency(
    modules: dict[str, ast.Module],
) -> None:
    (handler,) = handlers(modules["app/weather/router.py"])
    assert isinstance(handler, ast.AsyncFunctionDef)
    assert "fastapi.Depends" in names_used(modules["app/weather/router.py"])


@pytest.mark.requirement("6.4")
def test_the_cache_uses_cachetools_with_a_maximum_size(modules: dict[str, ast.Module]) -> None:
    assert "cachetools.TTLCache" in set().union(*map(names_used, modules.values()))
    made = [call for module in modules.values() for call in calls(module, "TTLCache")]
    assert made
    for call in made:
        sizes = [*call.args[:1], *[word.value for word in call.keywords if word.arg == "maxsize"]]
        assert sizes, ast.unparse(call)
        assert "inf" not in ast.unparse(sizes[0])
