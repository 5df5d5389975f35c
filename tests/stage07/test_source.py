"""Requirements 7.5 and 7.6: rules that clients cannot observe, read from source and tables."""

import ast
from pathlib import Path

import pytest

from course.harness.server import LaunchedServer
from tests.stage02.test_source import handlers
from tests.stage03.test_source import calls, leads_to, needed, parameters, reachable

pytestmark = pytest.mark.craft

ROUTERS = ("app/blog/router.py", "app/users/router.py")
OPEN_TO_ALL = {"list_posts", "read_post", "list_comments"}  # handlers that need no token
GUARDS = {"require_role", "get_current_user"}


@pytest.fixture(scope="module")
def modules(stage_directory: Path) -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the app by its path."""
    return {
        path.relative_to(stage_directory).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((stage_directory / "app").rglob("*.py"))
    }


@pytest.mark.requirement("7.6")
def test_a_post_has_one_author_and_a_comment_has_one_post(launched_server: LaunchedServer) -> None:
    database = launched_server.database
    assert database.foreign_keys("posts") == {"author_id": "users"}
    assert database.foreign_keys("comments") == {"author_id": "users", "post_id": "posts"}


@pytest.mark.requirement("7.6")
def test_every_relation_is_loaded_explicitly(modules: dict[str, ast.Module]) -> None:
    relations = [call for module in modules.values() for call in calls(module, "relationship")]
    assert len(relations) >= 3  # a user's posts, a post's author, a post's comments
    for relation in relations:
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in relation.keywords}
        assert given.get("lazy") in ("'raise'", "'raise_on_sql'"), ast.unparse(relation)


@pytest.mark.requirement("7.5")
def test_every_protected_handler_depends_on_a_guard(modules: dict[str, ast.Module]) -> None:
    graph = leads_to(modules)
    unguarded, found = set(), 0
    for path in ROUTERS:
        module = modules[path]
        of_all = [
            keyword.value
            for call in calls(module, "APIRouter")
            for keyword in call.keywords
            if keyword.arg == "dependencies"
        ]
        for handler in handlers(module):
            found += 1
            asked = [needed(parameter.annotation) for parameter in parameters(handler)]
            asked += [needed(value) for value in of_all]
            if not reachable(set().union(*asked), graph) & GUARDS:
                unguarded.add(handler.name)
    assert found >= 13
    assert unguarded <= OPEN_TO_ALL
    assert "Depends" in ast.unparse(modules["app/dependencies.py"])


@pytest.mark.requirement("7.5")
def test_no_handler_checks_a_role_itself(modules: dict[str, ast.Module]) -> None:
    looking = [
        f"{path}: {handler.name}"
        for path in ROUTERS
        for handler in handlers(modules[path])
        for node in ast.walk(ast.Module(handler.body, []))
        if isinstance(node, ast.Attribute)
        and node.attr == "role"
        and isinstance(node.value, ast.Name)
        and node.value.id in {argument.arg for argument in parameters(handler)} - {"role_in"}
    ]
    assert looking == []
