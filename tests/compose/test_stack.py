"""Rows C.5, C.6, C.11 and C.13, D.9: the system in containers, run for real.

    python3 noxfile.py compose-smoke

Not part of any stage's session: it needs Docker, and builds an image.
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
def test_compose_finds_nothing_to_complain_of(stack: Stack) -> None:
    assert stack.compose("config", "--quiet", complaints=True) == ""


@pytest.mark.requirement("C.11", "D.9")
def test_every_container_is_healthy_but_the_one_that_is_done(stack: Stack) -> None:
    by_service = {
        c["Config"]["Labels"]["com.docker.compose.service"]: c for c in stack.containers()
    }
    done = by_service.pop("migrate")
    assert done["State"]["ExitCode"] == 0
    assert by_service.keys() == SERVICES
    assert all(is_healthy(container) for container in by_service.values())


@pytest.mark.requirement("C.5")
def test_containers_have_no_root_no_privileges_and_limits(stack: Stack) -> None:
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
def test_only_the_gateway_and_grafana_are_open_to_this_machine(stack: Stack) -> None:
    published = {
        container["Config"]["Labels"]["com.docker.compose.service"]: binding["HostIp"]
        for container in stack.containers()
        for bindings in (container["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or []
    }
    assert published == {"gateway": "127.0.0.1", "grafana": "127.0.0.1"}


@pytest.mark.requirement("C.13")
def test_what_was_written_is_there_after_down_and_up(stack: Stack, api: Api) -> None:
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
        lines = [json.loads(line) for line in latest if line.startswith("{")]  # not its start's
        served = {line["replica"].partition(":")[0] for line in lines}
        return served >= addresses

    eventually(replicas_that_served, within=LATEST)
    eventually(lambda: stack.value('count(up{job="api"} == 1)') == 3, within=LATEST)


@pytest.mark.requirement("C.5")
def test_people_on_different_replicas_chat(stack: Stack, api: Api) -> None:
    with ExitStack() as sockets:
        people = [sockets.enter_context(person(api.as_new_user())) for _ in range(8)]
        spread = "count(websocket_connections > 0)"
        eventually(lambda: stack.query(spread) and stack.value(spread) == 2, within=LATEST)
        for speaker in people:
            text = new_text()
            speaker.say(text)
            for listener in people:
                assert listener.message(text)["user"] == speaker.user


def test_a_frame_that_is_too_large_ends_the_visit(api: Api) -> None:
    with person(api.as_new_user()) as speaker:
        speaker.socket.send("x" * 131_073)
        with pytest.raises(ConnectionClosed):
            speaker.message("nothing like it")
        assert speaker.socket.close_code == CloseCode.MESSAGE_TOO_BIG


def test_a_replica_counts_its_own_processors(stack: Stack) -> None:
    count = "import os; print(os.cpu_count())"
    assert stack.compose("exec", "-T", "api", "python", "-c", count).split() == ["2"]


@pytest.mark.requirement("C.6")
@pytest.mark.parametrize("service", sorted(SERVICES - {"grafana", "prometheus"}))
def test_a_killed_container_comes_back(stack: Stack, api: Api, service: str) -> None:
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
def test_what_is_not_public_cannot_be_reached(stack: Stack, path: str) -> None:
    answer = get_raw(stack, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]


@pytest.mark.requirement("C.5")
@pytest.mark.parametrize("path", ["/todos/%00", "/todos/%zz"])
def test_what_is_no_address_gets_no_further_than_the_gateway(stack: Stack, path: str) -> None:
    assert get_raw(stack, path).status_code == 400


def get_raw(stack: Stack, path: str) -> httpx.Response:
    """Ask for a path as it is written."""
    url = httpx.URL(stack.base_url).copy_with(raw_path=path.encode())
    return httpx.Client(trust_env=False).send(httpx.Request("GET", url))


@pytest.mark.requirement("C.5")
def test_anybody_may_know_that_it_lives(stack: Stack) -> None:
    assert httpx.get(f"{stack.base_url}/health/live", trust_env=False).json() == {"status": "alive"}


@pytest.mark.requirement("C.5")
def test_a_picture_of_five_mib_passes_and_more_is_refused(stack: Stack, api: Api) -> None:  # noqa: ARG001
    picture = png()
    largest = picture + b"\0" * (5 * MIB - len(picture))
    answer = upload(api, largest)
    assert answer.status_code in (201, 422), answer.text  # 422: a picture with a long tail
    assert upload(api, largest + b"\0").status_code == 413
    refused = upload(api, b"\0" * (8 * MIB))
    assert refused.status_code == 413
    assert refused.json()["status"] == 413


@pytest.mark.requirement("C.5")
def test_whoever_is_refused_while_they_send_gets_to_know_why(api: Api) -> None:
    body = b"x" * (2 * MIB)
    statuses = [api.request("POST", "/auth/token", content=body).status_code for _ in range(50)]
    assert set(statuses) == {413}


@pytest.mark.requirement("C.5")
def test_the_name_of_a_request_is_the_same_everywhere(stack: Stack, api: Api) -> None:
    name = new_text("request-")
    answer = api.request("GET", "/todos", headers={"X-Request-ID": name})
    assert answer.headers.get_list("x-request-id") == [name]
    eventually(lambda: name in stack.logs("gateway"), within=LATEST)
    eventually(lambda: name in stack.logs("api"), within=LATEST)


@pytest.mark.requirement("C.5")
def test_a_token_is_in_no_log(stack: Stack, api: Api) -> None:
    name = new_text("request-")
    with open_socket(api, query=f"?token={api.token}"):
        api.request("GET", "/todos", headers={"X-Request-ID": name})
    eventually(lambda: name in stack.logs("gateway"), within=LATEST)
    assert api.token
    signature = api.token.rpartition(".")[2]
    for service in ("gateway", "api"):
        assert signature not in stack.logs(service)


@pytest.mark.requirement("C.5")
def test_only_the_gateway_is_believed_about_who_asks(stack: Stack, api: Api) -> None:
    forged, name = "203.0.113.9", new_text("request-")
    api.request("GET", "/todos", headers={"X-Request-ID": name, "X-Forwarded-For": forged})
    # Prometheus is beside the API, but it is not the gateway.
    headers = [f"--header=X-Forwarded-For: {forged}", f"--header=X-Request-ID: {name}-2"]
    url = "http://api:8000/posts"
    stack.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", *headers, url)

    def lines() -> list[str]:
        return [line for line in stack.logs("api").splitlines() if name in line]

    eventually(lambda: len(lines()) == 2, within=LATEST)
    clients = {json.loads(line)["client"] for line in lines()}
    assert forged not in clients
    assert "172.31.251.2" not in clients, "the API takes all clients for the gateway"


@pytest.mark.requirement("C.5")
def test_the_image_is_small_and_holds_neither_secrets_nor_compilers(stack: Stack) -> None:
    base, ours = (json.loads(docker("inspect", name))[0] for name in ("python:3.13-slim", IMAGE))
    # The official base has 120 MB; a stand-in for it may have more.
    assert ours["Size"] - base["Size"] < 130_000_000
    inside = docker("run", "--rm", "--network=none", IMAGE, "sh", "-c", "env; find /srv; id")
    assert ".env" not in inside
    assert "uid=10001(app)" in inside
    for secret in stack.secrets.values():
        assert secret not in inside
    found = docker("run", "--rm", IMAGE, "sh", "-c", "which gcc cc make g++ || echo none")
    assert found.split() == ["none"]


@pytest.mark.requirement("C.10")
def test_the_server_is_told_of_a_stop_and_ends_in_order(stack: Stack) -> None:
    (first, *_) = stack.containers("api")
    docker("stop", first["Id"])
    (stopped,) = json.loads(docker("inspect", first["Id"]))
    assert stopped["State"]["ExitCode"] != 137, "it was killed after the grace period"
    assert "Application shutdown complete" in docker("logs", first["Id"])
