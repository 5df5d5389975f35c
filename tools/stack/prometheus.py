"""Prometheus with the rules of `deploy/`, where it is installed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import httpx
import yaml

from course.catalog.stages import ROOT
from course.harness.queue import Process
from tools.stack.part import Part
from tools.stack.place import Place

_DEPLOY = ROOT / "capstone_production" / "deploy" / "prometheus"


def configuration(targets: Mapping[str, Sequence[int]]) -> str:
    """Return the configuration of `deploy/`, with ports of this machine instead of host names.

    The jobs of the exporters are left out.
    """
    given = yaml.safe_load((_DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    jobs = [
        {
            "job_name": name,
            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
        }
        for name, ports in targets.items()
    ]
    rules = [str(_DEPLOY / pattern) for pattern in given["rule_files"]]
    return yaml.safe_dump(given | {"rule_files": rules, "scrape_configs": jobs})


def prometheus_part(
    program: str, place: Place, port: int, targets: Mapping[str, Sequence[int]], *, wave: int
) -> Part:
    """Return Prometheus; it stores its data in the place."""
    directory = place.path("prometheus")
    file = directory / "prometheus.yml"
    file.write_text(configuration({**targets, "prometheus": [port]}), encoding="utf-8")
    address = f"127.0.0.1:{port}"
    command = [
        *(program, f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"),
        f"--web.listen-address={address}",
    ]
    process = Process(command, {"PATH": os.defpath}, directory, place.logs / "prometheus.log")

    def is_ready() -> bool:
        try:
            answer = httpx.get(f"http://{address}/-/ready", trust_env=False, timeout=3)
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    return Part("prometheus", wave, process, is_ready, f"http://{address}")
