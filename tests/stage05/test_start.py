"""Requirement 5.7: invalid settings of the jobs stop the start with an error that names them."""

import pytest

from course.harness.plugin import Launch
from course.harness.server import LaunchedServer
from course.harness.waiting import in_parallel
from tests.stage02.reasons import reason_in

# Invalid settings, and the name that the error line must contain.
pytestmark = [pytest.mark.craft, pytest.mark.queue("local")]
WRONG: dict[str, dict[str, str]] = {
    "a crontab of words": {"JOB_CLEANUP_CRONTAB": "every now and then", "JOB_LEASE": "0"},
    "an empty crontab": {"JOB_CLEANUP_CRONTAB": ""},
    "a day that no month has": {"JOB_CLEANUP_CRONTAB": "0 0 31 2 *", "JOB_RETENTION": "-1"},
}

Refused = dict[str, LaunchedServer]


@pytest.fixture(scope="module")
def refused(launch_for_module: Launch) -> Refused:
    """Return all servers with invalid settings after their attempts to start."""
    servers = {problem: launch_for_module(start=False, **WRONG[problem]) for problem in WRONG}
    in_parallel(len(servers), lambda number: list(servers.values())[number].start())
    return servers


@pytest.mark.requirement("5.7")
@pytest.mark.parametrize("problem", WRONG)
def test_a_server_with_an_invalid_job_setting_exits_and_names_it(
    refused: Refused, problem: str, stage: int
) -> None:
    server = refused[problem]
    assert server.exit_code not in (0, None)
    reason = reason_in(server.log_text(), stage)
    for name in WRONG[problem]:
        assert name in reason
    assert server.database.is_untouched()
