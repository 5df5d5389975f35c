"""Requirements C.5, C.11, C.13 to C.16: the rules of the deployment, read from its files.

`python3 noxfile.py compose-smoke` (`tests/compose`) runs the same files in Docker.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from course.catalog.stages import ROOT

pytestmark = [pytest.mark.craft, pytest.mark.deployment("plain")]  # these tests read files

DATA = {  # the directories in which the images store permanent data
    "postgres": "/var/lib/postgresql",
    "redis": "/data",
    "api": "/srv/media",
    "prometheus": "/prometheus",
    "alertmanager": "/alertmanager",
    "grafana": "/var/lib/grafana",
}
ONCE = "migrate"  # ends when its work is done
EXACT = re.compile(r"[a-z0-9_./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?")
REQUIRED = re.compile(r"\$\{(\w+):\?")
OPTIONAL = re.compile(r"\$\{(\w+):-")
PINNED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)

Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def compose(stage_directory: Path) -> dict[str, Any]:
    """Return the parsed Compose file."""
    text = (stage_directory / "compose.yaml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    """Return the services of the Compose file."""
    found: Services = compose["services"]
    return found


@pytest.fixture(scope="module")
def examples(stage_directory: Path) -> dict[str, str]:
    """Return the settings in `.env.example`."""
    lines = (stage_directory / ".env.example").read_text(encoding="utf-8").splitlines()
    return {
        name: value
        for name, _, value in (line.partition("=") for line in lines if line[:1].isalpha())
    }


def text_of(directory: Path, *parts: str) -> str:
    """Return the text of a file."""
    return directory.joinpath(*parts).read_text(encoding="utf-8")


@pytest.mark.requirement("C.11")
def test_every_service_has_a_health_check(services: Services, stage_directory: Path) -> None:
    assert "HEALTHCHECK" in text_of(stage_directory, "Dockerfile")
    for name, service in services.items():
        ours = service["image"].startswith("capstone-app")
        if name != ONCE:
            assert ours or service["healthcheck"]["test"], name


@pytest.mark.requirement("C.5")
def test_the_server_limits_the_size_of_a_frame(stage_directory: Path) -> None:
    (limit,) = re.findall(r'"--ws-max-size", "(\d+)"', text_of(stage_directory, "Dockerfile"))
    schemas = text_of(stage_directory, "app", "chat", "schemas.py")
    (longest,) = re.findall(r"MAX_FRAME = (\d+) \* 1024", schemas)
    assert int(limit) == 4 * int(longest) * 1024  # a character takes up to four bytes
    assert f'"--ws-max-size", "{limit}"' in text_of(ROOT, "tools", "stack", "parts.py")


@pytest.mark.requirement("C.5")
def test_the_server_limits_connections_without_a_gateway(stage_directory: Path) -> None:
    files = [
        text_of(stage_directory, "Dockerfile"),
        text_of(ROOT, "tools", "stack", "parts.py"),
    ]
    limits = [re.findall(r'"--limit-concurrency", "(\d+)"', text) for text in files]
    assert limits == [["2000"], ["2000"]]


@pytest.mark.requirement("C.6")
def test_every_service_is_restarted_when_it_ends(services: Services) -> None:
    policies = {name: service["restart"] for name, service in services.items()}
    assert policies.pop(ONCE) == "no"
    assert set(policies.values()) == {"unless-stopped"}


@pytest.mark.requirement("C.5")
def test_every_service_has_minimal_rights_and_resource_limits(services: Services) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["logging"]["options"]["max-size"], name


@pytest.mark.requirement("C.5")
def test_every_pulled_image_has_an_exact_version(services: Services) -> None:
    images = {service["image"] for service in services.values()} - {"capstone-app:local"}
    assert len(images) == 8
    assert [image for image in images if not EXACT.fullmatch(image)] == []


@pytest.mark.requirement("C.5")
def test_with_tls_only_caddy_reaches_the_gateway(
    stage_directory: Path, compose: dict[str, Any]
) -> None:
    text = text_of(stage_directory, "compose.tls.yaml")
    assert "ports: !reset []" in text
    overlay = yaml.safe_load(text.replace("!reset", "").replace("!override", ""))
    caddy, gateway = overlay["services"]["tls"], overlay["services"]["gateway"]
    assert "tls" in caddy["networks"]
    assert gateway["networks"].keys() == {"tls", "app"}
    members = [name for name, each in compose["services"].items() if "app" in each["networks"]]
    assert members == ["gateway", "api"]
    assert EXACT.fullmatch(caddy["image"])
    assert (caddy["read_only"], caddy["cap_drop"]) == (True, ["ALL"])
    assert caddy["security_opt"] == ["no-new-privileges:true"]
    assert caddy["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


@pytest.mark.requirement("C.5")
def test_only_two_services_publish_ports_on_localhost(services: Services) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published.keys() == {"gateway", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.requirement("C.13")
def test_permanent_data_is_stored_in_named_volumes(
    compose: dict[str, Any], services: Services
) -> None:
    for name, place in DATA.items():
        volumes = [volume for volume in services[name]["volumes"] if volume.endswith(f":{place}")]
        assert [volume.partition(":")[0] in compose["volumes"] for volume in volumes] == [True]


@pytest.mark.requirement("C.5")
def test_the_gateway_shares_no_network_with_a_database(
    compose: dict[str, Any], services: Services
) -> None:
    assert compose["networks"]["data"]["internal"]
    for name in ("postgres", "redis"):
        assert list(services[name]["networks"]) == ["data"]
    assert "data" not in services["gateway"]["networks"]


@pytest.mark.requirement("C.5")
def test_secrets_are_required_and_have_no_default(
    examples: dict[str, str], stage_directory: Path
) -> None:
    text = text_of(stage_directory, "compose.yaml")
    required, optional = set(REQUIRED.findall(text)), set(OPTIONAL.findall(text))
    assert required == {
        *("JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_ADMIN_PASSWORD")
    }
    assert not [name for name in optional if re.search("SECRET|PASSWORD|KEY", name)]
    # One exception: the default that production refuses; the plain form has it, too.
    assert required & examples.keys() == {"JWT_SECRET"}
    command = text_of(stage_directory, ".env.example")
    assert all(name in command for name in required)


@pytest.mark.requirement("C.5")
def test_every_setting_of_the_example_reaches_the_app(
    compose: dict[str, Any], examples: dict[str, str]
) -> None:
    ports = {"GATEWAY_PORT", "GRAFANA_PORT"}
    assert sorted(examples.keys() - ports - compose["x-settings"].keys()) == []


@pytest.mark.requirement("C.5")
def test_the_image_is_built_from_pinned_files_with_hashes(stage_directory: Path) -> None:
    lock = text_of(stage_directory, "requirements.lock")
    pins = dict(PINNED.findall(text_of(ROOT, "constraints.txt")))
    locked = dict(PINNED.findall(lock))
    assert {name: pins.get(name) for name in locked} == locked
    wanted = re.findall(r"^[a-z0-9-]+", text_of(stage_directory, "requirements.txt"), re.MULTILINE)
    assert set(wanted) <= locked.keys()
    entries = re.split(r"\n(?=[a-z])", lock.partition("\n")[2])
    assert [entry for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == []
    assert "--require-hashes" in text_of(stage_directory, "Dockerfile")


@pytest.mark.requirement("C.5")
def test_the_image_contains_only_listed_files(stage_directory: Path) -> None:
    lines = text_of(stage_directory, ".dockerignore").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert sorted(rule for rule in rules if rule.startswith("!")) == [
        *("!alembic.ini", "!app", "!migrations", "!requirements.lock")
    ]


@pytest.mark.requirement("C.14")
def test_prometheus_targets_are_services_of_the_compose_file(
    stage_directory: Path, services: Services
) -> None:
    config = yaml.safe_load(text_of(stage_directory, "deploy", "prometheus", "prometheus.yml"))
    names = {
        name
        for job in [*config["scrape_configs"], *config["alerting"]["alertmanagers"]]
        for discovery in job.get("dns_sd_configs", [])
        for name in discovery["names"]
    }
    assert names == {"api", "worker", "postgres-exporter", "redis-exporter", "alertmanager"}
    assert names <= services.keys()


@pytest.mark.requirement("C.16")
def test_exporters_watch_existing_services_and_are_scraped(
    stage_directory: Path, services: Services
) -> None:
    addresses = {
        "postgres-exporter": ("DATA_SOURCE_URI", "postgres:5432/"),
        "redis-exporter": ("REDIS_ADDR", "redis://redis:6379"),
    }
    for name, (setting, address) in addresses.items():
        assert services[name]["environment"][setting].startswith(address)
        assert {"data", "monitoring"} <= {*services[name]["networks"]}
    config = yaml.safe_load(text_of(stage_directory, "deploy", "prometheus", "prometheus.yml"))
    discovered = [
        each for job in config["scrape_configs"] for each in job.get("dns_sd_configs", [])
    ]
    ports = {name: each["port"] for each in discovered for name in each["names"]}
    # The default ports of the exporters, and their health routes.
    for name, port in {"postgres-exporter": 9187, "redis-exporter": 9121}.items():
        assert ports[name] == port
        assert f"127.0.0.1:{port}/" in services[name]["healthcheck"]["test"][-1]


@pytest.mark.requirement("C.4")
def test_every_alert_has_a_receiver_and_a_runbook(
    compose: dict[str, Any], stage_directory: Path
) -> None:
    content = compose["configs"]["alertmanager.yml"]["content"]
    config = yaml.safe_load(content.replace("${", "").replace('}"', '"'))
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} == {each["name"] for each in config["receivers"]}
    rules = text_of(stage_directory, "deploy", "prometheus", "rules", "alerts.yml")
    alerts = [
        rule for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]
    ]  # fmt: skip
    runbooks = text_of(stage_directory, "docs", "runbooks.md").split("\n## ")[1:]
    sections = {section.partition("\n")[0]: section for section in runbooks}
    assert list(sections) == [alert["alert"] for alert in alerts]
    for alert in alerts:
        name, severity = alert["alert"], alert["labels"]["severity"]
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
        parts = (f"**Meaning** (`{severity}`):", "**Look at**\n\n```bash\n", "**Do**\n\n1. ")
        assert [part for part in parts if part not in sections[name]] == [], name


@pytest.mark.requirement("C.15")
def test_every_dashboard_uses_the_provisioned_data_source(stage_directory: Path) -> None:
    grafana = stage_directory / "deploy" / "grafana"
    sources = text_of(grafana, "provisioning", "datasources", "prometheus.yml")
    (source,) = yaml.safe_load(sources)["datasources"]
    dashboards = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (grafana / "dashboards").glob("*.json")
    ]
    assert {dashboard["title"] for dashboard in dashboards} == {
        *("Overview", "API by route", "Cache", "Jobs", "Chat", "PostgreSQL", "Redis")
    }
    for dashboard in dashboards:
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] == source["uid"], panel["title"]
            assert all(target["expr"] for target in panel["targets"]), panel["title"]
