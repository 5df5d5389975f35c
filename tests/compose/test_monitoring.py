"""Requirements C.4, C.14, C.15 and C.16: dashboards and alerts work on a system under load."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from course.harness.driver import Api
from course.harness.waiting import eventually
from tests.compose.stack import CAPSTONE, LATEST, Stack, docker
from tests.stage04.uploads import new_image
from tests.stage05.jobs import submit, succeeded
from tests.stage08.chat import new_text, person

DEPLOY = CAPSTONE / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = DEPLOY / "prometheus" / "rules"
THRESHOLD = re.compile(r"(==|<|>)\s*[0-9.]+(\s*\*\s*[0-9.]+)?")
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
RUNBOOKS = (CAPSTONE / "docs/runbooks.md").read_text(encoding="utf-8")
RUNBOOK_COMMANDS = sorted(set("".join(BLOCK.findall(RUNBOOKS)).splitlines()))
LONGEST = 180.0  # seconds; rates over minutes need several minutes of data


@pytest.fixture(scope="module")
def loaded_stack(running_stack: Stack) -> Iterator[Stack]:
    """Return the system, used in every way until the tests end."""
    running_stack.up()
    stop = threading.Event()
    with Api(running_stack) as visitor:
        load = threading.Thread(target=use, args=[visitor.as_new_user(), stop])
        load.start()
        yield running_stack
        stop.set()
        load.join()


def use(api: Api, stop: threading.Event) -> None:
    """Send requests of every kind repeatedly."""
    with person(api):
        while not stop.is_set():
            todo = api.create_todo()
            for _ in range(5):
                api.get_todo(todo["id"])
                api.list_todos()
                api.request("GET", "/posts")
            api.delete_todo(todo["id"])
            api.request("GET", f"/todos/{todo['id']}")
            new_image(api)
            succeeded(api, submit(api)["id"], within=LATEST)
            with person(api.as_new_user()) as newcomer:
                newcomer.tell(new_text())
            stop.wait(0.2)


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the title and each query of each panel."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m")


def rules(file: str, kind: str) -> list[dict[str, Any]]:
    """Return the rules of one kind in a file."""
    groups = yaml.safe_load((RULES / file).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def has_data(stack: Stack, expression: str) -> None:
    """Wait until a query returns at least one number; `AssertionError` if it does not.

    A route without recent requests has the quantile NaN; this is not a fault.
    """

    def look() -> bool:
        result = stack.query(expression)
        assert result, f"nothing: {expression}"
        return any(not math.isnan(float(row["value"][1])) for row in result)

    eventually(look, within=LONGEST)


@pytest.mark.requirement("C.15", "C.16")
@pytest.mark.parametrize("name", [path.stem for path in DASHBOARDS])
def test_every_panel_of_a_dashboard_has_data(loaded_stack: Stack, name: str) -> None:
    path = DEPLOY / "grafana" / "dashboards" / f"{name}.json"
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    for _, expression in expressions(dashboard):
        has_data(loaded_stack, expression)


@pytest.mark.requirement("C.4")
def test_every_recording_rule_has_data(loaded_stack: Stack) -> None:
    for rule in rules("recording.yml", "record"):
        has_data(loaded_stack, rule["record"])


@pytest.mark.requirement("C.4")
def test_every_alert_queries_existing_data(loaded_stack: Stack) -> None:
    for rule in rules("alerts.yml", "alert"):
        # The threshold is removed, because an inactive alert returns nothing.
        for part in rule["expr"].split(" and "):
            has_data(loaded_stack, THRESHOLD.sub("", part))


@pytest.mark.requirement("C.4")
def test_no_alert_fires_on_a_healthy_system(loaded_stack: Stack) -> None:
    eventually(lambda: loaded_stack.query('ALERTS{alertstate="firing"}') == [], within=LONGEST)


@pytest.mark.requirement("C.4", "C.16")
def test_prometheus_reaches_all_its_targets(loaded_stack: Stack) -> None:
    def jobs() -> dict[str, str]:
        return {row["metric"]["job"]: row["value"][1] for row in loaded_stack.query("up")}

    wanted = ("api", "worker", "postgres", "redis", "alertmanager", "prometheus")
    eventually(lambda: jobs() == dict.fromkeys(wanted, "1"), within=LATEST)


@pytest.mark.requirement("C.4")
def test_an_alert_fires_when_redis_is_down(stack: Stack) -> None:
    stack.compose("stop", "redis")
    noticed = 'ALERTS{alertname="RedisDown"}'
    eventually(lambda: stack.query(noticed), within=LATEST)
    stack.up()
    eventually(lambda: not stack.query(noticed), within=LATEST)


@pytest.mark.requirement("C.4")
def test_a_killed_postgresql_calls_somebody_and_the_end_is_reported(stack: Stack) -> None:
    def statuses(alert: str) -> list[str]:
        return [each["status"] for each in received() if each["labels"]["alertname"] == alert]

    with stack.webhook() as received:
        stack.compose("kill", "postgres")
        eventually(lambda: statuses("PostgresDown") == ["firing"], within=LONGEST)
        (call,) = [each for each in received() if each["labels"]["alertname"] == "PostgresDown"]
        assert call["labels"]["severity"] == "page"
        assert call["annotations"]["runbook_url"] == "docs/runbooks.md#postgresdown"
        stack.up()
        eventually(lambda: statuses("PostgresDown")[-1] == "resolved", within=LONGEST)


@pytest.mark.requirement("C.4")
@pytest.mark.parametrize("command", RUNBOOK_COMMANDS)
def test_the_commands_of_the_runbooks_work(stack: Stack, command: str) -> None:
    stack.shell(command)


@pytest.mark.requirement("C.15")
def test_grafana_loads_the_data_source_and_the_dashboards(stack: Stack) -> None:
    (source,) = stack.grafana("/api/datasources").json()
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    titles = {json.loads(path.read_text(encoding="utf-8"))["title"] for path in DASHBOARDS}
    found = stack.grafana("/api/search?type=dash-db").json()
    assert {dashboard["title"] for dashboard in found} == titles


@pytest.mark.requirement("C.4")
def test_grafana_requires_a_password(stack: Stack) -> None:
    url = str(stack.grafana("/api/datasources").url)
    assert httpx.get(url, trust_env=False).status_code == 401


@pytest.mark.requirement("C.4")
@pytest.mark.parametrize("words", [["check", "config"], ["test", "rules"]], ids=" ".join)
def test_promtool_accepts_the_files(stack: Stack, words: list[str]) -> None:
    image = stack.containers("prometheus")[0]["Config"]["Image"]
    file = "prometheus.yml" if words[1] == "config" else "rules_test.yml"
    mount = f"{DEPLOY / 'prometheus'}:/etc/prometheus:ro"
    docker(
        *("run", "--rm", "--network=none", "--volume", mount),
        *("--entrypoint=promtool", image, *words, f"/etc/prometheus/{file}"),
    )
