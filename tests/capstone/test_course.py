"""Requirements D.1, D.4 and D.10: the repository's content, and the features of the capstone."""

from __future__ import annotations

import ast
import re

import pytest

from course.catalog.stages import ROOT, load_course
from course.harness.driver import Api

pytestmark = pytest.mark.craft

STAGES = load_course()
DIRECTORIES = [
    "stage01_memory_todo",
    "stage02_sqlite_todo",
    "stage03_jwt_auth",
    "stage04_images",
    "stage05_background",
    "stage06_weather_cache",
    "stage07_blog_roles",
    "stage08_ws_chat",
    "capstone_production",
]
# The features of every stage, in the words of the contract.
FEATURES = {
    "/todos": {"get", "post"},
    "/todos/{todo_id}": {"get", "put", "patch", "delete"},
    "/auth/register": {"post"},
    "/auth/token": {"post"},
    "/users/me": {"get"},
    "/images/{image_id}/file": {"get"},
    "/jobs/{job_id}/report": {"get"},
    "/jobs/{job_id}/events": {"get"},
    "/weather": {"get"},
    "/posts/{post_id}/comments": {"get", "post"},
    "/users/{user_id}/role": {"put"},
    "/chat/messages": {"get"},
    "/auth/refresh": {"post"},
    "/auth/logout": {"post"},
    "/health/ready": {"get"},
}
# The package, its name in a requirements file, and its module.
PACKAGES = {
    "fastapi": ("fastapi", "fastapi"),
    "pydantic": ("pydantic-settings", "pydantic"),
    "sqlalchemy": ("sqlalchemy", "sqlalchemy"),
    "alembic": ("alembic", "alembic"),
    "passlib": ("libpass", "passlib"),
    "python-jose": ("python-jose", "jose"),
    "aiofiles": ("aiofiles", "aiofiles"),
    "cachetools": ("cachetools", "cachetools"),
    "httpx": ("httpx", "httpx"),
    "celery": ("celery", "celery"),
    "redis": ("redis", "redis"),
    "prometheus-fastapi-instrumentator": (
        "prometheus-fastapi-instrumentator",
        "prometheus_fastapi_instrumentator",
    ),
}


@pytest.mark.requirement("D.1")
def test_the_repository_has_a_directory_for_each_stage() -> None:
    assert [stage.directory for stage in STAGES] == DIRECTORIES
    for name in (*DIRECTORIES, "tests"):
        assert (ROOT / name).is_dir(), name
    for name in ("README.md", "noxfile.py"):
        assert (ROOT / name).is_file(), name


@pytest.mark.requirement("D.4")
def test_the_capstone_has_the_features_of_every_stage(api: Api) -> None:
    paths = api.request("GET", "/openapi.json").json()["paths"]
    missing = {
        path for path, methods in FEATURES.items() if not methods <= set(paths.get(path, ()))
    }
    assert not missing
    assert api.request("GET", "/chat").status_code == 200
    assert api.request("GET", "/gallery").status_code == 200


def requirements() -> set[str]:
    """Return the names in the capstone's requirements."""
    text = (ROOT / "capstone_production" / "requirements.txt").read_text(encoding="utf-8")
    return set(re.findall(r"^[A-Za-z0-9-]+", text, re.MULTILINE))


def imported() -> set[str]:
    """Return the top-level names that the capstone's code imports."""
    names: set[str] = set()
    for path in (ROOT / "capstone_production").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


@pytest.mark.requirement("D.10")
@pytest.mark.parametrize("package", PACKAGES)
def test_each_required_package_is_listed_and_imported(package: str) -> None:
    required, module = PACKAGES[package]
    assert required in requirements()
    assert module in imported()


@pytest.mark.requirement("D.10")
def test_the_database_drivers_and_the_server_are_listed() -> None:
    # No module imports these: a URL or a command names them.
    assert {"aiosqlite", "asyncpg", "uvicorn"} <= requirements()
