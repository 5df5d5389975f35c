"""The containers of `compose.yaml` with a project name, ports and secrets of the tests.

Another copy of the system on this machine is not affected.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from course.catalog.stages import ROOT
from course.harness.waiting import eventually

CAPSTONE = ROOT / "capstone_production"
NO_DOCKER = "not checked: Docker with Compose is not available"
LATEST = 120.0  # seconds; an idle machine needs about ten
SERVICES = {
    *("gateway", "api", "worker", "beat", "postgres", "redis"),
    *("prometheus", "alertmanager", "grafana", "postgres-exporter", "redis-exporter"),
}
_PROJECT = "capstone-smoke"
_GATEWAY_PORT, _GRAFANA_PORT = 18080, 13000
WEBHOOK = "webhook"  # the name of a container in which a test receives alerts

Json = dict[str, Any]

# Prints the body of each POST as a line of JSON.
_RECEIVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("", 8000), Receiver).serve_forever()
"""


def docker_is_available() -> bool:
    """Return whether a Docker engine and Compose are available."""
    if shutil.which("docker") is None:
        return False
    commands = (["docker", "version"], ["docker", "compose", "version"])
    return all(subprocess.run(words, capture_output=True).returncode == 0 for words in commands)


class Stack:
    """The running system, with the interface of a server (`course.harness.server`)."""

    has_users = True

    def __init__(self, directory: Path) -> None:
        self.secrets = {
            name: secrets.token_hex(32)
            for name in (
                *("JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD"),
                *("GRAFANA_ADMIN_PASSWORD", "FIRST_ADMIN_PASSWORD"),
            )
        }
        settings = self.secrets | {
            "FIRST_ADMIN_USERNAME": "first-admin",
            "RATE_LIMIT_AUTH": "100000/minute",  # all tests come from one address
            "BCRYPT_ROUNDS": "4",
            "ALERT_WEBHOOK_URL": f"http://{WEBHOOK}:8000/",
            "GATEWAY_PORT": str(_GATEWAY_PORT),
            "GRAFANA_PORT": str(_GRAFANA_PORT),
            "GATEWAY_SUBNET": "172.31.251.0/24",
            "GATEWAY_ADDRESS": "172.31.251.2",
            "API_RANGE": "172.31.251.128/25",
        }
        self._settings = directory / "settings.env"
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        self._settings.write_text("".join(lines), encoding="utf-8")

    @property
    def base_url(self) -> str:
        """Return the URL of the gateway."""
        return f"http://127.0.0.1:{_GATEWAY_PORT}"

    @property
    def base_urls(self) -> tuple[str, ...]:
        """Return the URL of the gateway only: replicas cannot be reached directly."""
        return (self.base_url,)

    def log_mark(self) -> int:
        """Return 0: see `logs`."""
        return 0

    def log_since(self, mark: int) -> str:  # noqa: ARG002 - the protocol's
        """Return an empty text: see `logs`."""
        return ""

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the API's log."""
        return self.compose("logs", "--no-color", f"--tail={lines}", "api")

    def compose(self, *words: str, complaints: bool = False) -> str:
        """Run a command of Compose; see `docker`."""
        files = ["--env-file", str(self._settings), "--file", str(CAPSTONE / "compose.yaml")]
        options = ("--project-name", _PROJECT, *files)
        return docker("compose", *options, *words, complaints=complaints)

    def shell(self, command: str) -> str:
        """Run a line of a page in the capstone's directory; `AssertionError` if it fails."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=CAPSTONE,
            env=os.environ
            | {"COMPOSE_PROJECT_NAME": _PROJECT, "COMPOSE_ENV_FILES": str(self._settings)},
            capture_output=True,
            text=True,
            timeout=LATEST,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def webhook(self) -> Iterator[Callable[[], list[Json]]]:
        """Run a container that receives alerts; yield a function that returns those so far."""
        name = f"{_PROJECT}-{WEBHOOK}"
        network = ["--network", f"{_PROJECT}_monitoring", "--network-alias", WEBHOOK]
        run = ["run", "--detach", "--rm", "--name", name, *network, "--entrypoint=python"]
        docker(*run, "capstone-app:local", "-u", "-c", _RECEIVER)
        try:
            yield lambda: [
                alert
                for line in docker("logs", name).splitlines()
                for alert in json.loads(line)["alerts"]
            ]
        finally:
            docker("kill", name)

    def is_up(self) -> bool:
        """Return whether all containers are healthy, with two replicas of the API."""
        containers = self.containers(*SERVICES)
        return len(containers) == len(SERVICES) + 1 and all(map(is_healthy, containers))

    def up(self, *options: str, replicas: int = 2) -> None:
        """Start the containers that do not run, and wait until all are healthy."""
        self.compose("up", "--detach", "--wait", f"--scale=api={replicas}", *options)

    def down(self, *options: str) -> None:
        """Stop and remove the containers; volumes stay."""
        self.compose("down", *options)

    def logs(self, service: str) -> str:
        """Return the log of a service."""
        return self.compose("logs", "--no-color", "--no-log-prefix", service)

    def containers(self, *services: str) -> list[Json]:
        """Return the data of `docker inspect` for the containers of these services, or of all."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        found: list[Json] = json.loads(docker("inspect", *ids))
        return found

    def kill_process(self, container: Json) -> None:
        """Kill the main process of a container, like a crash.

        `docker kill` would not do: Docker does not restart a container that an operator stopped.
        """
        kill = f"import os; os.kill({container['State']['Pid']}, 9)"
        alone = ["--rm", "--network=none", "--pid=host", "--user=0"]
        docker("run", *alone, "--entrypoint=python", "capstone-app:local", "-c", kill)

    def query(self, expression: str) -> list[Json]:
        """Return the result of a Prometheus query, which is sent from inside the network."""
        url = f"http://127.0.0.1:9090/api/v1/query?query={quote(expression)}"
        answer = json.loads(self.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", url))
        assert answer["status"] == "success", answer
        result: list[Json] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """Return the single value of a Prometheus query; `AssertionError` if there is none."""
        result = self.query(expression)
        assert len(result) == 1, f"{expression}: {result}"
        return float(result[0]["value"][1])

    def grafana(self, path: str) -> httpx.Response:
        """Send a request to Grafana as its administrator."""
        name_and_password = f"admin:{self.secrets['GRAFANA_ADMIN_PASSWORD']}"
        credentials = base64.b64encode(name_and_password.encode()).decode()
        return httpx.get(
            f"http://127.0.0.1:{_GRAFANA_PORT}{path}",
            headers={"Authorization": f"Basic {credentials}"},
            trust_env=False,
            timeout=60,
        )


def docker(*words: str, complaints: bool = False) -> str:
    """Run a Docker command and return its output; `AssertionError` if it fails.

    With `complaints`, its standard error is returned, too.
    """
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr if complaints else done.stdout


def is_healthy(container: Json) -> bool:
    """Return whether a container runs and is healthy."""
    state = container["State"]
    return bool(state["Running"]) and state.get("Health", {}).get("Status") == "healthy"


def comes_back(container: Json) -> bool:
    """Wait until a container has been restarted and is healthy."""

    def look() -> bool:
        (now,) = json.loads(docker("inspect", container["Id"]))
        return bool(now["RestartCount"] > container["RestartCount"]) and is_healthy(now)

    return eventually(look, within=LATEST)
