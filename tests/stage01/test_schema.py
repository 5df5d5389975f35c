"""The app against its own OpenAPI document, with requests that schemathesis makes up.

Every stage runs all checks of schemathesis (`st`): operations that the stage adds or changes in
every phase, the others with a request or two, or all in every phase with `--inherited full`.
Each suite's `schemathesis.toml` says what is left out and why. A failure shows a `curl` line and
the seed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from course.catalog.stages import ROOT, load_course
from course.harness.driver import Api
from course.harness.made_up import SEED
from course.harness.plugin import Launch
from course.harness.selection import FULL
from course.harness.server import FIRST_ADMIN, FIRST_STAGE_WITH_ROLES
from tests.stage01.test_description import ERRORS, operations

CONFIG = "schemathesis.toml"
# For each operation in the phase of fuzzing, and sequences of requests.
EXAMPLES, EXAMPLES_OF_NIGHT = 6, 20
OTHERS = """
[[operations]]
include-name = {names}
generation.max-examples = 1
phases.coverage.enabled = false
"""


def token_of_an_admin(visitor: Api, stage: int) -> str | None:
    """Return the token of an administrator, of any user before there are roles, or None."""
    if stage < FIRST_STAGE_WITH_ROLES:
        return visitor.as_new_user().token
    username, password = FIRST_ADMIN.values()
    form = {"username": username, "password": password}
    token: str = visitor.request("POST", "/auth/token", data=form).json()["access_token"]
    return token


def are_the_stages_own(stage: int) -> set[tuple[str, str]]:
    """Return the operations that answer in this stage what they did not answer before.

    Stage 2 has the API of stage 1 on other ground: all of it counts.
    """
    return {name for name, errors in ERRORS.items() if stage in errors or stage == 2}


def names_of_others(visitor: Api, stage: int) -> list[str]:
    """Return the names that schemathesis has for the operations which are not the stage's own."""
    document = visitor.request("GET", "/openapi.json").json()
    own = are_the_stages_own(stage)
    names = [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if (method, re.sub(r"{\w+}", "{}", path)) not in own
    ]
    assert len(operations(document)) > len(names), "a stage has operations of its own"
    return names


def configuration(stage: int, others: Sequence[str]) -> str:
    """Return what the suites of the stages so far say, and that `others` get a look only."""
    suites = [ROOT / "tests" / one.name for one in load_course()[:stage]]
    found = [suite / CONFIG for suite in suites if (suite / CONFIG).exists()]
    text = "\n".join(file.read_text("utf-8") for file in found)
    return text + OTHERS.format(names=json.dumps(others)) if others else text


def run_schemathesis(address: str, config: Path, options: Iterable[str]) -> str:
    """Run all checks on the server at this address; `AssertionError` with what they found."""
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={config}", "run"]
    command += [f"{address}/openapi.json", "--no-color", f"--seed={SEED}"]
    done = subprocess.run(
        [*command, *options],
        cwd=config.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.requirement("D.2")
@pytest.mark.timeout(600)  # minutes at night, seconds else
@pytest.mark.craft("E7")
def test_every_answer_is_as_the_description_says(
    launch: Launch, stage: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = launch()  # of its own: an administrator changes at random what others rely on
    everything = request.config.getoption("inherited") == FULL
    with Api(server) as visitor:
        token = token_of_an_admin(visitor, stage)
        others = [] if everything else names_of_others(visitor, stage)
    config = tmp_path / CONFIG
    config.write_text(configuration(stage, others), "utf-8")
    options = [f"--max-examples={EXAMPLES_OF_NIGHT if everything else EXAMPLES}"]
    options += [f"--header=Authorization: Bearer {token}"] if token else []
    said = run_schemathesis(server.base_url, config, options)
    assert re.search(r"\b[1-9]\d* generated", said), said
    assert "Traceback (most recent call last)" not in server.log_text(), server.log_tail(60)
