"""Jobs on a server that removes ended jobs once a minute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course.harness.driver import Api
from course.harness.queue import Queue
from course.harness.server import LaunchedServer
from course.harness.waiting import eventually
from tests.stage05.jobs import FAR_AWAY, listed, submit

Minute = Callable[[], dict[str, Any]]

LONGEST = 90.0  # seconds: a minute, and a reserve for a busy machine


def watch_for_a_minute(server: LaunchedServer, queue: Queue, seen: Path) -> None:
    """Let a job end, wait until the server has removed it, and write the results to a file."""
    try:
        findings = _watch(server, queue)
    except BaseException as error:
        findings = {"failure": repr(error)}
        raise
    finally:
        unfinished = seen.with_suffix(".part")
        unfinished.write_text(json.dumps(findings), encoding="utf-8")
        unfinished.rename(seen)
        queue.end()
        server.end()


def _watch(server: LaunchedServer, queue: Queue) -> dict[str, Any]:
    queue.serve(server)
    server.start()
    with Api(server) as visitor:
        api = visitor.as_new_user()
        waits = submit(api, run_at=FAR_AWAY)["id"]
        done = f"/jobs/{submit(api)['id']}"
        eventually(lambda: api.request("GET", done).status_code == 404, within=LONGEST)
        left = [(job["id"], job["status"]) for job in listed(api)]
    return {"waits": waits, "left": left}


def read_later(seen: Path) -> dict[str, Any]:
    """Wait until the results are written, and return them."""
    eventually(seen.exists, within=2 * LONGEST)
    findings: dict[str, Any] = json.loads(seen.read_text(encoding="utf-8"))
    assert "failure" not in findings, findings["failure"]
    return findings
