"""Requirement C.17: the README lists all settings, metrics, routes and packages, and no others."""

from __future__ import annotations

import ast
import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from course.harness.lesson import blocks_of, read, sections_of
from course.harness.server import Server

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # these tests read a page

NOT_OURS = ("python_", "process_")  # metrics that prometheus_client adds
SECRET = re.compile(r"\b[A-Z_]*(SECRET|PASSWORD)\b")


@pytest.fixture(scope="module")
def directory(stage_directory: Path) -> Path:
    """Return the capstone's directory."""
    return stage_directory


@pytest.fixture(scope="module")
def sections(directory: Path) -> dict[str, str]:
    """Return the sections of the README."""
    return sections_of(read(directory / "README.md"))


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of each table row that begins with code, without the backticks."""
    rows = re.findall(r"^\| (`.+) \|$", section, re.MULTILINE)
    return [[cell.strip().strip("`") for cell in row.split(" | ")] for row in rows]


def settings_in_source(path: Path) -> dict[str, str]:
    """Return the default of each setting as text for the environment."""
    tree = ast.parse(read(path))
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    (settings,) = (
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    return {
        node.target.id.upper(): as_text(value_of(node.value, constants))
        for node in settings.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
    }


def value_of(node: ast.expr, constants: dict[str, ast.expr]) -> object:
    """Return the value of a default: a literal, a product, or an argument as `Field(default=…)`."""
    if isinstance(node, ast.Call):
        (default,) = node.args or [word.value for word in node.keywords if word.arg == "default"]
        return value_of(default, constants)
    if isinstance(node, ast.Name):
        return value_of(constants[node.id], constants)
    if isinstance(node, ast.BinOp):
        factors = [value_of(side, constants) for side in (node.left, node.right)]
        return math.prod(factor for factor in factors if isinstance(factor, int))
    return ast.literal_eval(node)


def as_text(value: object) -> str:
    """Return a value as text for the environment."""
    if value is None or value == []:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.requirement("C.17")
def test_the_table_of_settings_matches_the_code(directory: Path, sections: dict[str, str]) -> None:
    in_code = settings_in_source(directory / "app" / "config.py")
    rows = [row for row in rows_of(sections["Configuration"]) if len(row) == 4]
    assert {name: default.replace("–", "") for name, default, *_ in rows} == in_code


@pytest.mark.requirement("C.17")
def test_the_example_settings_match_the_code(directory: Path) -> None:
    in_code = settings_in_source(directory / "app" / "config.py")
    # A setting that cannot be empty is listed as a comment.
    text = read(directory / ".env.example")
    lines = re.findall(r"^(?:# )?([A-Z_0-9]+)=(.*)$", text, re.MULTILINE)
    example = dict(reversed(lines))  # the first of two lines is the default, the second an example
    assert {name: value for name, value in example.items() if name in in_code} == in_code
    others = {row[0] for row in others_of(directory)}
    assert example.keys() - in_code.keys() <= others


def others_of(directory: Path) -> list[list[str]]:
    """Return the rows of the variables that the application does not read."""
    section = sections_of(read(directory / "README.md"))["Configuration"]
    return [row for row in rows_of(section) if len(row) == 3]


@pytest.mark.requirement("C.17")
def test_every_variable_of_compose_is_in_the_readme(directory: Path) -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+)", read(directory / "compose.yaml")))
    in_code = settings_in_source(directory / "app" / "config.py")
    assert wanted - in_code.keys() <= {row[0] for row in others_of(directory)}


@pytest.mark.requirement("C.17")
def test_every_setting_reaches_the_containers(directory: Path) -> None:
    """A setting in `.env` that Compose does not pass on would be ignored silently."""
    passed_on = set(re.findall(r"^ +([A-Z_0-9]+):", read(directory / "compose.yaml"), re.MULTILINE))
    assert settings_in_source(directory / "app" / "config.py").keys() <= passed_on


@pytest.mark.requirement("C.17")
def test_the_command_for_secrets_creates_all_of_them(directory: Path, tmp_path: Path) -> None:
    blocks = blocks_of(read(directory / "README.md"))
    (command,) = [block.text for block in blocks if "openssl" in block.text]
    loop = next(line for line in command.splitlines() if "openssl" in line)
    assert f"# {loop}\n" in read(directory / ".env.example")
    if not all(map(shutil.which, ("bash", "openssl"))):
        pytest.skip("not checked: needs bash and openssl")
    shutil.copy(directory / ".env.example", tmp_path)
    subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^([A-Z_]+)=([0-9a-f]{64})$", read(tmp_path / ".env"), re.MULTILINE))
    required = set(re.findall(r"\$\{([A-Z_]+):\?", read(directory / "compose.yaml")))
    assert made.keys() == required
    assert all(map(SECRET.fullmatch, required))
    assert len(set(made.values())) == len(made)


@pytest.mark.requirement("C.17")
def test_the_table_of_metrics_matches_the_app(server: Server, sections: dict[str, str]) -> None:
    answer = httpx.get(f"{server.base_url}/metrics", trust_env=False, timeout=20)
    families = {
        # The parser removes the suffix of counters.
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(answer.text)
    }
    ours = {name for name in families if not name.startswith(NOT_OURS)}
    assert {row[0] for row in rows_of(sections["Metrics"])} == ours


@pytest.mark.requirement("C.17")
def test_the_readme_names_every_alert_and_dashboard(
    directory: Path, sections: dict[str, str]
) -> None:
    section, deploy = sections["Monitoring"], directory / "deploy"
    rules = read(deploy / "prometheus" / "rules" / "alerts.yml")
    alerts = re.findall(r"alert: (\w+)\n(?:.*\n)*?.*severity: (\w+)", rules)
    assert {(name, severity) for name, severity, _ in rows_of(section)} == set(alerts)
    dashboards = (deploy / "grafana" / "dashboards").glob("*.json")
    titles = {json.loads(read(path))["title"] for path in dashboards}
    (told,) = re.findall(r"^\*\*Dashboards\*\*.*?: (.+?)\. ", section, re.MULTILINE | re.DOTALL)
    assert set(told.replace("\n", " ").split(" · ")) == titles


def operations_of(section: str) -> Iterator[tuple[str, str]]:
    """Yield method and path of each operation in a table such as ``GET POST /todos``."""
    for text in re.findall(r"`([A-Z ]+ /[^`]*)`", section):
        *methods, path = text.split(" ")
        yield from ((method, path) for method in methods)


@pytest.mark.requirement("C.17")
def test_the_table_of_operations_matches_the_api(server: Server, sections: dict[str, str]) -> None:
    schema = httpx.get(f"{server.base_url}/openapi.json", trust_env=False, timeout=20).json()
    described = {
        (method.upper(), path) for path, item in schema["paths"].items() for method in item
    }
    told = list(operations_of(sections["API documentation"]))
    assert len(told) == len(set(told))
    names = ("", "my-todos", "my-jobs", "gallery", "chat")
    pages = {("GET", f"/{name}") for name in names}
    undescribed = {("WS", "/ws/chat"), ("GET", "/metrics"), *pages}
    assert set(told) == described | undescribed


@pytest.mark.requirement("C.17")
def test_the_technology_stack_names_every_requirement(
    directory: Path, sections: dict[str, str]
) -> None:
    required = re.findall(r"^([\w.-]+)", read(directory / "requirements.txt"), re.MULTILINE)
    assert set(required) == {row[0] for row in rows_of(sections["Technology stack"])}


@pytest.mark.requirement("C.17")
def test_the_project_structure_names_every_directory(
    directory: Path, sections: dict[str, str]
) -> None:
    there = {
        path.name
        for parent in (directory / "app", directory / "deploy")
        for path in parent.iterdir()
        if path.is_dir() and path.name != "__pycache__"
    }
    told = set(re.findall(r"^ +(\w+)/", sections["Project structure"], re.MULTILINE))
    assert told == there | {"app", "deploy", "docs", "lessons", "migrations"}
