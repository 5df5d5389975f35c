"""The app matches its own OpenAPI document; schemathesis generates the requests.

Every stage runs all checks of schemathesis (`st`). Operations that the stage adds or changes run in
every phase, the others with one or two requests. `--inherited full` runs all in every phase.
Each suite's `schemathesis.toml` lists the exclusions and their reasons. A failure shows a `curl`
line and the seed.
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
# The number of generated requests for each operation in the fuzzing phase, and of sequences.
EXAMPLES, EXAMPLES_OF_NIGHT = 4, 20
OTHERS = """
[[operations]]
include-name = {names}
generation.max-examples = 1
phases.coverage.enabled = false
"""


def token_of_an_admin(visitor: Api, stage: int) -> str | None:
    """Return a token of an administrator, or of any user in the stages without roles."""
    if stage < FIRST_STAGE_WITH_ROLES:
        return visitor.as_new_user().token
    username, password = FIRST_ADMIN.values()
    form = {"username": username, "password": password}
    token: str = visitor.request("POST", "/auth/token", data=form).json()["access_token"]
    return token


def own_operations(stage: int) -> set[tuple[str, str]]:
    """Return the operations that are new or have a new status in this stage.

    Stage 2 stores the API's data in another way, so all its operations count.
    """
    return {name for name, errors in ERRORS.items() if stage in errors or stage == 2}


def names_of_others(visitor: Api, stage: int) -> list[str]:
    """Return schemathesis's names of the operations that are not the stage's own."""
    document = visitor.request("GET", "/openapi.json").json()
    own = own_operations(stage)
    names = [
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if (method, re.sub(r"{\w+}", "{}", path)) not in own
    ]
    assert len(operations(document)) > len(names), "a stage has operations of its own"
    return names


def configuration(stage: int, others: Sequence[str]) -> str:
    """Return the configuration of all stages so far, with few requests for `others`."""
    suites = [ROOT / "tests" / one.name for one in load_course()[:stage]]
    found = [suite / CONFIG for suite in suites if (suite / CONFIG).exists()]
    text = "\n".join(file.read_text("utf-8") for file in found)
    return text + OTHERS.format(names=json.dumps(others)) if others else text


def run_schemathesis(address: str, config: Path, options: Iterable[str]) -> str:
    """Run all checks on the server at this URL; `AssertionError` with the findings."""
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
@pytest.mark.deployment("plain")  # the full form answers in the same way
@pytest.mark.timeout(600)  # minutes in the nightly run, otherwise seconds
@pytest.mark.craft("E7")
def test_every_answer_matches_the_openapi_document(
    launch: Launch, stage: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = (
        launch()
    )  # a new server, because the random requests of an administrator change any data
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
