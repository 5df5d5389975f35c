"""Requirements C.5, C.6, C.11, C.13 and D.9: the system in real containers.

    python3 noxfile.py compose-smoke

This folder is not part of a stage's session: it needs Docker, and builds an image.
"""

from __future__ import annotations

import json
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from course.harness.driver import Api
from course.harness.waiting import eventually
from tests.compose.stack import (
    LATEST,
    SERVICES,
    Stack,
    comes_back,
    docker,
    is_healthy,
)
from tests.stage04.pictures import png
from tests.stage04.uploads import new_image, upload
from tests.stage05.jobs import submit, succeeded
from tests.stage08.chat import new_text, open_socket, person

MIB = 1024 * 1024
IMAGE = "capstone-app:local"
OURS = ("api", "worker", "beat", "migrate")


@pytest.mark.requirement("C.5", "D.9")
def test_compose_accepts_the_file_without_warnings(stack: Stack) -> None:
    assert stack.compose("config", "--quiet", complaints=True) == ""


@pytest.mark.requirement("C.11", "D.9")
def test_every_container_is_healthy_except_the_finished_migration(stack: Stack) -> None:
    by_service = {
        c["Config"]["Labels"]["com.docker.compose.service"]: c for c in stack.containers()
    }
    done = by_service.pop("migrate")
    assert done["State"]["ExitCode"] == 0
    assert by_service.keys() == SERVICES
    assert all(is_healthy(container) for container in by_service.values())


@pytest.mark.requirement("C.5")
def test_containers_run_without_root_without_privileges_and_with_limits(stack: Stack) -> None:
    for container in stack.containers(*SERVICES):
        host, name = container["HostConfig"], container["Name"]
        _, *users = docker("top", container["Id"], "-eo", "uid,pid").splitlines()
        assert users, name
        assert "0" not in {line.split()[0] for line in users}, name
        assert host["CapDrop"] == ["ALL"], name
        assert host["ReadonlyRootfs"], name
        assert host["SecurityOpt"] == ["no-new-privileges:true"], name
        assert host["Memory"], name
        assert host["NanoCpus"], name
        assert host["PidsLimit"], name


@pytest.mark.requirement("C.5")
def test_only_the_gateway_and_grafana_publish_ports(stack: Stack) -> None:
    published = {
        container["Config"]["Labels"]["com.docker.compose.service"]: binding["HostIp"]
        for container in stack.containers()
        for bindings in (container["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert published == {"gateway": "127.0.0.1", "grafana": "127.0.0.1"}


@pytest.mark.requirement("C.13")
def test_data_survives_down_and_up(stack: Stack, api: Api) -> None:
    todo = api.create_todo("stays")
    picture = new_image(api)
    job = succeeded(api, submit(api)["id"], within=LATEST)
    stack.down()
    stack.up()
    assert api.get_todo(todo["id"]) == todo
    assert api.request("GET", picture["url"]).content == png()
    assert api.request("GET", f"/jobs/{job['id']}").json() == job


@pytest.mark.requirement("C.5", "C.14")
def test_three_replicas_share_the_requests_and_prometheus_finds_them(
    stack: Stack, api: Api
) -> None:
    stack.up(replicas=3)
    addresses = {
        container["NetworkSettings"]["Networks"]["capstone-smoke_app"]["IPAddress"]
        for container in stack.containers("api")
    }
    assert len(addresses) == 3

    def replicas_that_served() -> bool:
        api.list_todos()
        latest = stack.logs("gateway").splitlines()[-200:]
        # Lines of nginx's start are not JSON.
        lines = [json.loads(line) for line in latest if line.startswith("{")]
        served = {line["replica"].partition(":")[0] for line in lines}
        return served >= addresses

    eventually(replicas_that_served, within=LATEST)
    eventually(lambda: stack.value('count(up{job="api"} == 1)') == 3, within=LATEST)


@pytest.mark.requirement("C.5")
def test_users_on_different_replicas_can_chat(stack: Stack, api: Api) -> None:
    with ExitStack() as sockets:
        people = [sockets.enter_context(person(api.as_new_user())) for _ in range(8)]
        spread = "count(websocket_connections > 0)"
        eventually(lambda: stack.query(spread) and stack.value(spread) == 2, within=LATEST)
        for speaker in people:
            text = new_text()
            speaker.say(text)
            for listener in people:
                assert listener.message(text)["user"] == speaker.user


def test_a_frame_that_is_too_large_closes_the_socket(api: Api) -> None:
    with person(api.as_new_user()) as speaker:
        speaker.socket.send("x" * 131_073)
        with pytest.raises(ConnectionClosed):
            speaker.message("a message that never arrives")
        assert speaker.socket.close_code == CloseCode.MESSAGE_TOO_BIG


def test_a_replica_sees_only_its_own_processors(stack: Stack) -> None:
    count = "import os; print(os.cpu_count())"
    assert stack.compose("exec", "-T", "api", "python", "-c", count).split() == ["2"]


@pytest.mark.requirement("C.6")
@pytest.mark.parametrize("service", sorted(SERVICES - {"grafana", "prometheus"}))
def test_a_killed_container_is_restarted(stack: Stack, api: Api, service: str) -> None:
    todo = api.create_todo()
    killed = stack.containers(service)[0]
    stack.kill_process(killed)
    assert comes_back(killed)
    eventually(lambda: api.request("GET", f"/todos/{todo['id']}").json() == todo, within=LATEST)
    succeeded(api, submit(api)["id"], within=LATEST)


@pytest.mark.requirement("C.6")
def test_no_request_fails_while_a_replica_is_killed(stack: Stack, api: Api) -> None:
    todo = api.create_todo()
    killed = stack.containers("api")[0]
    stack.kill_process(killed)
    statuses = {api.request("GET", f"/todos/{todo['id']}").status_code for _ in range(200)}
    statuses |= {api.request("POST", "/todos", json={"title": "x"}).status_code for _ in range(50)}
    assert statuses == {200, 201}
    assert comes_back(killed)


@pytest.mark.requirement("C.5")
@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/metrics/", "//metrics", "/./metrics", "/%6detrics", "/health/../metrics"),
        *("/metrics?x=1", "/health/ready", "/health/", "/health"),
    ],
)
def test_internal_routes_cannot_be_reached(stack: Stack, path: str) -> None:
    answer = get_raw(stack, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


@pytest.mark.requirement("C.5")
@pytest.mark.parametrize("path", ["/todos/%00", "/todos/%zz"])
def test_the_gateway_refuses_a_malformed_path(stack: Stack, path: str) -> None:
    assert get_raw(stack, path).status_code == 400


def get_raw(stack: Stack, path: str) -> httpx.Response:
    """Request a path without any normalization."""
    url = httpx.URL(stack.base_url).copy_with(raw_path=path.encode())
    return httpx.Client(trust_env=False).send(httpx.Request("GET", url))


@pytest.mark.requirement("C.5")
def test_the_liveness_probe_is_public(stack: Stack) -> None:
    assert httpx.get(f"{stack.base_url}/health/live", trust_env=False).json() == {"status": "alive"}


@pytest.mark.requirement("C.5")
def test_a_picture_of_5_mib_passes_and_a_larger_one_is_refused(stack: Stack, api: Api) -> None:  # noqa: ARG001
    picture = png()
    largest = picture + b"\0" * (5 * MIB - len(picture))
    answer = upload(api, largest)
    assert answer.status_code in (201, 422), answer.text  # 422: extra data after the picture
    assert upload(api, largest + b"\0").status_code == 413
    refused = upload(api, b"\0" * (8 * MIB))
    assert refused.status_code == 413
    assert refused.json()["status"] == 413


@pytest.mark.requirement("C.5")
def test_a_client_that_is_refused_during_its_body_gets_the_answer(api: Api) -> None:
    body = b"x" * (2 * MIB)
    statuses = [api.request("POST", "/auth/token", content=body).status_code for _ in range(50)]
    assert set(statuses) == {413}


@pytest.mark.requirement("C.5")
def test_the_request_id_is_the_same_in_every_log(stack: Stack, api: Api) -> None:
    name = new_text("request-")
    answer = api.request("GET", "/todos", headers={"X-Request-ID": name})
    assert answer.headers.get_list("x-request-id") == [name]
    eventually(lambda: name in stack.logs("gateway"), within=LATEST)
    eventually(lambda: name in stack.logs("api"), within=LATEST)


@pytest.mark.requirement("C.5")
def test_no_log_contains_a_token(stack: Stack, api: Api) -> None:
    name = new_text("request-")
    with open_socket(api, query=f"?token={api.token}"):
        api.request("GET", "/todos", headers={"X-Request-ID": name})
    eventually(lambda: name in stack.logs("gateway"), within=LATEST)
    assert api.token
    signature = api.token.rpartition(".")[2]
    for service in ("gateway", "api"):
        assert signature not in stack.logs(service)


@pytest.mark.requirement("C.5")
def test_the_api_trusts_the_client_address_only_from_the_gateway(stack: Stack, api: Api) -> None:
    forged, name = "203.0.113.9", new_text("request-")
    api.request("GET", "/todos", headers={"X-Request-ID": name, "X-Forwarded-For": forged})
    # Prometheus is in the same network as the API, but it is not the gateway.
    headers = [f"--header=X-Forwarded-For: {forged}", f"--header=X-Request-ID: {name}-2"]
    url = "http://api:8000/posts"
    stack.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", *headers, url)

    def lines() -> list[str]:
        return [line for line in stack.logs("api").splitlines() if name in line]

    eventually(lambda: len(lines()) == 2, within=LATEST)
    clients = {json.loads(line)["client"] for line in lines()}
    assert forged not in clients
    assert "172.31.251.2" not in clients, "the API logs the gateway as the client"


@pytest.mark.requirement("C.5")
def test_the_image_is_small_without_secrets_and_compilers(stack: Stack) -> None:
    base, ours = (json.loads(docker("inspect", name))[0] for name in ("python:3.13-slim", IMAGE))
    # The official base image has 120 MB; a replacement may be larger.
    assert ours["Size"] - base["Size"] < 130_000_000
    inside = docker("run", "--rm", "--network=none", IMAGE, "sh", "-c", "env; find /srv; id")
    assert ".env" not in inside
    assert "uid=10001(app)" in inside
    for secret in stack.secrets.values():
        assert secret not in inside
    found = docker("run", "--rm", IMAGE, "sh", "-c", "which gcc cc make g++ || echo none")
    assert found.split() == ["none"]


@pytest.mark.requirement("C.10")
def test_a_stopped_container_shuts_down_cleanly(stack: Stack) -> None:
    (first, *_) = stack.containers("api")
    docker("stop", first["Id"])
    (stopped,) = json.loads(docker("inspect", first["Id"]))
    assert stopped["State"]["ExitCode"] != 137, "Docker killed it after the grace period"
    assert "Application shutdown complete" in docker("logs", first["Id"])
