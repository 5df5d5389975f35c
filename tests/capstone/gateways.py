"""An nginx with the deployment's file, in front of one server.

Only addresses, ports and paths in the file are changed.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from course.harness.ports import free_port
from course.harness.queue import Process
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
NO_NGINX = "not checked: nginx is not installed on this machine (apt-get install nginx)"


@dataclass(frozen=True)
class Gateway:
    """An nginx in front of one server."""

    port: int
    api: LaunchedServer
    access_log: Path

    @property
    def base_url(self) -> str:
        """Return scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """Return a plain TCP connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def answers(self) -> bool:
        """Return whether it passes requests on."""
        try:
            answer = httpx.get(f"{self.base_url}/health/live", trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


@contextmanager
def started_gateway(
    api: LaunchedServer, stage_directory: Path, directory: Path, *, behind: str = ""
) -> Iterator[Gateway]:
    """Yield a running nginx; `behind` names a file for a proxy before it."""
    port, health_port = free_port(), free_port()
    files = stage_directory / "deploy" / "nginx"
    (directory / "behind").mkdir()
    if behind:
        shutil.copy(files / behind, directory / "behind" / "proxy.conf")
    text = (files / "nginx.conf").read_text(encoding="utf-8")
    for old, new in {
        "http://api:8000": api.base_url,
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "listen 127.0.0.1:8081;": f"listen 127.0.0.1:{health_port};",
        "/tmp/": f"{directory}/",  # noqa: S108 - as in the file
        "/etc/nginx/behind/": f"{directory}/behind/",
        "/dev/stdout": f"{directory}/access.log",
        "/dev/stderr": f"{directory}/error.log",
    }.items():
        assert old in text, f"{old} is not in the nginx file: update the replacements here"
        text = text.replace(old, new)
    (directory / "nginx.conf").write_text(text, encoding="utf-8")
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [str(NGINX), "-c", str(directory / "nginx.conf"), "-p", str(directory), "-g", options]
    process = Process(command, {}, directory, directory / "nginx.log")
    process.start()
    gateway = Gateway(port, api, directory / "access.log")
    try:
        eventually(gateway.answers, within=20)
        yield gateway
    finally:
        process.end()
