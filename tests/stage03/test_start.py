"""Requirements 3.3 and 3.5: unsafe settings stop the start with an error that names them."""

from pathlib import Path

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in

pytestmark = pytest.mark.craft

SECRET = "a-secret-that-must-not-be-printed-7f3a"

# Unsafe settings, and the names that the error line must contain.
WRONG: dict[str, tuple[dict[str, str], list[str]]] = {
    "production without a secret": ({"ENVIRONMENT": "production"}, ["JWT_SECRET"]),
    "production with an empty secret": (
        {"ENVIRONMENT": "production", "JWT_SECRET": ""},
        ["JWT_SECRET"],
    ),
    "a cost that is not a number and no time to live": (
        {"BCRYPT_ROUNDS": "abc", "ACCESS_TOKEN_TTL": "0", "JWT_SECRET": SECRET},
        ["BCRYPT_ROUNDS", "ACCESS_TOKEN_TTL"],
    ),
}

Refused = dict[str, LaunchedServer]


@pytest.fixture(scope="module")
def default_secret(stage_directory: Path) -> str:
    """Return the default secret, which is public in the course."""
    lines = (stage_directory / ".env.example").read_text(encoding="utf-8").splitlines()
    (value,) = [line.partition("=")[2] for line in lines if line.startswith("JWT_SECRET=")]
    return value


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> Refused:
    """Return all servers with unsafe settings after their attempts to start."""
    servers = {}
    for problem, (settings, _) in WRONG.items():
        servers[problem] = launch_for_module(start=False)
        del servers[problem].settings["JWT_SECRET"]
        servers[problem].settings |= settings
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("3.3")
@pytest.mark.parametrize("problem", WRONG)
def test_a_server_with_an_unsafe_setting_exits_and_names_it(
    refused: Refused, problem: str, stage: int
) -> None:
    server = refused[problem]
    assert server.exit_code not in (0, None)
    reason = reason_in(server.log_text(), stage)
    for name in WRONG[problem][1]:
        assert name in reason


@pytest.mark.requirement("3.3")
@pytest.mark.parametrize("problem", WRONG)
def test_the_error_line_contains_no_secret(
    refused: Refused, problem: str, default_secret: str
) -> None:
    log = refused[problem].log_text()
    assert SECRET not in log
    assert default_secret not in log


@pytest.mark.requirement("3.3")
def test_a_refused_start_does_not_create_the_database(refused: Refused) -> None:
    assert [server for server in refused.values() if not server.database.is_untouched()] == []
